"""All chains by name and version: the built-in ones and those of the package that BATON_CHAINS names.

The skills (chains/skills/) and a package of one's own are imported with all of their modules; every Chain that stands
in one of them is in the catalog. Several versions of a chain stand side by side for as long as runs need them: a new
run takes the latest.
"""

from __future__ import annotations

import difflib
import importlib
import json
import pkgutil
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from types import ModuleType

import structlog

from chains.definition import Chain
from chains.parts import DefinitionError, FactsView, Part, Step, places
from errors import UnknownChain, UnknownVersion

BUILT_IN = ("chains.probe", "chains.erasure")
SKILLS = "chains.skills"
CACHED_BODIES = 256
SECONDS_BETWEEN_WORDS = 60
_SORTED = json.JSONEncoder(sort_keys=True)

log = structlog.get_logger()

Catalog = Mapping[str, Mapping[str, Chain]]


@lru_cache(maxsize=1)
def catalog() -> Catalog:
    """Every chain, by name, then by version, oldest first. Raises DefinitionError naming what to mend."""
    modules = [importlib.import_module(name) for name in BUILT_IN]
    return collect((*modules, *_modules_of(SKILLS), *_own_modules()))


def collect(modules: Iterable[ModuleType]) -> Catalog:
    """The chains that stand in these modules."""
    found: dict[str, dict[str, Chain]] = {}
    for module in modules:
        for chain in vars(module).values():
            if isinstance(chain, Chain):
                other = found.setdefault(chain.name, {}).setdefault(chain.version, chain)
                if other is not chain:
                    raise DefinitionError(
                        f"there are two chains {chain.name!r} of version {chain.version!r}, the second in "
                        f"{module.__name__}: give one of them another name or version"
                    )
    return {
        name: {version: versions[version] for version in sorted(versions, key=_age)} for name, versions in found.items()
    }


def latest(name: str) -> Chain:
    """The newest version of a chain. Raises UnknownChain."""
    return list(_versions(name).values())[-1]


def lookup(name: str, version: str) -> Chain:
    """A chain at a version. Raises UnknownChain or UnknownVersion."""
    versions = _versions(name)
    if version not in versions:
        raise UnknownVersion(f"chain {name!r} has no version {version!r} in the code; there are: {', '.join(versions)}")
    return versions[version]


def definition(name: str, version: str, input_facts: FactsView) -> Part:
    """The parts of a run. Cached by the chain and the input facts, so that a long body is built once."""
    chain = lookup(name, version)
    return chain.body or _built(chain, _SORTED.encode(dict(input_facts)))


def known(name: str, version: str, input_facts: FactsView) -> Part | None:
    """The parts of a run that was accepted; None where this process lacks its version, or cannot build it any more."""
    try:
        return definition(name, version, input_facts)
    except (UnknownChain, UnknownVersion):
        return None
    except Exception:
        _tell_broken(name, version, int(time.monotonic() / SECONDS_BETWEEN_WORDS))
        return None


@lru_cache(maxsize=CACHED_BODIES)  # every run of it would say the same, every few seconds
def _tell_broken(name: str, version: str, minute: int) -> None:
    log.exception("definition_broken", chain=name, version=version)


def missing_nodes(node_names: Collection[str]) -> dict[str, list[str]]:
    """The boot check: names of nodes that chains use and nobody has, each with those chains.

    A chain that is built from its input is looked at as built from the input's defaults, where it has them.
    """
    missing: dict[str, list[str]] = {}
    for versions in catalog().values():
        for chain in versions.values():
            for node in sorted(_nodes(chain).difference(node_names)):
                missing.setdefault(node, []).append(f"{chain.name} {chain.version}")
    return missing


def clear() -> None:
    """Forget everything that was read (after BATON_CHAINS changed, in tests)."""
    catalog.cache_clear()
    _built.cache_clear()


@lru_cache(maxsize=CACHED_BODIES)
def _built(chain: Chain, input_facts: str) -> Part:
    return chain.body_for(json.loads(input_facts))


def _versions(name: str) -> Mapping[str, Chain]:
    every = catalog()
    if name not in every:
        near = difflib.get_close_matches(name, every, 1)
        mend = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(every))}"
        raise UnknownChain(f"there is no chain {name!r}: {mend}")
    return every[name]


def _age(version: str) -> list[tuple[int, str]]:
    return [(int(number or 0), word) for number, word in re.findall(r"(\d+)|([^\d.]+)", version)]


def _nodes(chain: Chain) -> set[str]:
    try:
        body = chain.body or chain.body_for(chain.accept({}).facts)
    except Exception:
        return set()
    return {place.part.node for place in places(body) if isinstance(place.part, Step)}


def _own_modules() -> Iterator[ModuleType]:
    from settings import settings  # only here: the definitions themselves need no environment

    name = settings().chains
    if not name:
        return
    try:
        yield from _modules_of(name)
    except ImportError as error:
        raise DefinitionError(f"BATON_CHAINS names the package {name!r}, which cannot be imported: {error}") from error


def _modules_of(name: str) -> Iterator[ModuleType]:
    """A package with all of its modules."""
    package = importlib.import_module(name)
    yield package
    for found in pkgutil.walk_packages(getattr(package, "__path__", []), f"{name}."):
        yield importlib.import_module(found.name)
