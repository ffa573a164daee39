"""Finding chains: by name and version, in the built-in modules and in a package of one's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from agents.registry import nodes
from chains import catalog
from chains.definition import Chain, DefinitionError, step
from errors import UnknownChain, UnknownVersion

OwnPackage = Callable[..., None]


@pytest.fixture
def own_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnPackage]:
    """Writes a package of the user's own, module by module, and names it in BATON_CHAINS."""

    def write(name: str = "shop", **modules: str) -> None:
        if modules:
            (tmp_path / name).mkdir()
            for module, code in {"__init__": "", **modules}.items():
                (tmp_path / name / f"{module}.py").write_text(code)
        monkeypatch.setattr("settings.settings", lambda: SimpleNamespace(chains=name))
        catalog.clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] in ("shop", "broken")]:
        del sys.modules[name]
    catalog.clear()


ROOT = Path(__file__).parents[2]
CHAIN = "from chains.definition import Chain, step\n{name} = Chain({chain!r}, {version!r}, step({node!r}))\n"


def code(chain: str, version: str = "1", node: str = "shop.work", name: str = "SHOP") -> str:
    return CHAIN.format(name=name, chain=chain, version=version, node=node)


def test_the_built_in_chains_are_there() -> None:
    assert {"probe", "script"} <= set(catalog.catalog())
    assert catalog.latest("probe").name == "probe"
    assert catalog.lookup("script", "2") is catalog.latest("script")


def test_every_file_of_the_skills_is_a_chain_by_itself() -> None:
    files = {path.stem for path in (ROOT / "chains" / "skills").glob("*.py")} - {"__init__"}
    found = {name for name in catalog.catalog() if name == "script" or name.startswith("script.")}
    assert len(found) == len(files)
    assert {"script", "script.modify", "script.continue", "script.batch", "script.shorten", "script.adapt"} <= found


def test_chains_of_ones_own_are_found_in_all_modules(own_package: OwnPackage) -> None:
    own_package(orders=code("order"), refunds=code("refund"))
    assert {"order", "refund", "probe"} <= set(catalog.catalog())


def test_a_single_module_will_do(own_package: OwnPackage, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(code("order"))
    own_package()
    assert catalog.latest("order").version == "1"


def test_a_chain_may_stand_in_several_modules(own_package: OwnPackage) -> None:
    own_package(orders=code("order"), also="from shop.orders import SHOP\n")
    assert catalog.latest("order").name == "order"


def test_the_latest_version_is_the_highest_number(own_package: OwnPackage) -> None:
    versions = ["2", "10", "9.1", "9", "10-beta"]
    own_package(orders="".join(code("order", version, name=f"V{at}") for at, version in enumerate(versions)))
    assert list(catalog.catalog()["order"]) == ["2", "9", "9.1", "10", "10-beta"]
    assert catalog.latest("order").version == "10-beta"


def test_two_chains_of_one_version_are_refused(own_package: OwnPackage) -> None:
    own_package(one=code("order"), other=code("order"))
    with pytest.raises(DefinitionError, match=r"two chains 'order' of version '1', the second in shop\.other"):
        catalog.catalog()


def test_a_package_that_cannot_be_imported_is_told_with_the_setting(own_package: OwnPackage) -> None:
    own_package("broken", chains="import nothing_like_this\n")
    with pytest.raises(DefinitionError, match=r"package 'broken', which cannot be imported: .*nothing"):
        catalog.catalog()


def test_a_package_that_is_not_there_is_told_with_the_setting(own_package: OwnPackage) -> None:
    own_package("broken")
    with pytest.raises(DefinitionError, match=r"BATON_CHAINS names the package 'broken'"):
        catalog.catalog()


def test_an_unknown_chain_is_told_the_nearest() -> None:
    with pytest.raises(UnknownChain, match=r"no chain 'prob': did you mean 'probe'\?"):
        catalog.latest("prob")
    with pytest.raises(UnknownChain, match=r"there are: erasure, probe, script, script\.adapt"):
        catalog.lookup("zzz", "1")


def test_an_unknown_version_is_told_which_there_are() -> None:
    with pytest.raises(UnknownVersion, match=r"chain 'probe' has no version '0' in the code; there are: 1"):
        catalog.lookup("probe", "0")


def test_nodes_that_nobody_has_are_told_with_their_chains(own_package: OwnPackage) -> None:
    built = (
        "from chains.definition import Chain, step\n"
        "BUILT = Chain('built', '1', build=lambda facts: step('shop.built'))\n"
        "NEEDY = Chain('needy', '1', build=lambda facts: step(facts['node']))\n"
    )
    own_package(orders=code("order"), built=built)
    nodes = {
        node
        for name in catalog.catalog()
        if name.startswith(("erasure", "probe", "script"))
        for node in catalog._nodes(catalog.latest(name))
    }
    assert catalog.missing_nodes(nodes) == {"shop.built": ["built 1"], "shop.work": ["order 1"]}
    assert catalog.missing_nodes({*nodes, "shop.built", "shop.work"}) == {}


def test_every_node_of_the_built_in_chains_is_there() -> None:
    assert catalog.missing_nodes(nodes()) == {}


def test_chains_are_collected_from_modules() -> None:
    module = ModuleType("m")
    module.CHAIN = Chain("x", "1", step("a"))  # type: ignore[attr-defined]
    module.other = "not a chain"  # type: ignore[attr-defined]
    assert catalog.collect([module]) == {"x": {"1": module.CHAIN}}
