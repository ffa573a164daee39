"""What is imported is named in requirements*.in, and what is named is imported or has a reason not to be."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("app", "tasks", "chains", "storage", "gateway", "identity", "policy", "agents", "operate")
OTHERS = ("bench", "chaos", "tests", "docs")
PEERS = "bench/peers"  # in an environment of their own, with requirements of their own
RUNS = ("requirements.in", "requirements-nodeps.in")


def imports_in(file: Path) -> Iterator[str]:
    """Top-level names that a file imports, or looks for with `find_spec`."""
    for one in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(one, ast.Import):
            yield from (alias.name.split(".")[0] for alias in one.names)
        elif isinstance(one, ast.ImportFrom) and one.module and not one.level:
            yield one.module.split(".")[0]
        elif isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id == "find_spec":
            yield from (name.value for name in one.args if isinstance(name, ast.Constant))  # type: ignore[misc]


def third_party(*folders: str) -> dict[str, Path]:
    """Names that come from packages, each with a file that imports it; the files at the top belong to them."""
    files = [*ROOT.glob("*.py"), *(file for folder in folders for file in (ROOT / folder).rglob("*.py"))]
    files = [file for file in files if PEERS in folders or ROOT / PEERS not in file.parents]
    ours = {path.stem for path in ROOT.glob("*.py")} | {path.name for path in ROOT.iterdir() if path.is_dir()}
    ours |= {file.stem for file in (ROOT / "docs").glob("*.py")}
    found = {name: file for file in files for name in imports_in(file)}
    return {name: file for name, file in found.items() if name not in ours | sys.stdlib_module_names}


def named(*files: str) -> set[str]:
    """Packages that these files ask for."""
    lines = "\n".join((ROOT / file).read_text() for file in files)
    return {plain(name) for name in re.findall(r"^[A-Za-z][\w.-]*", lines, re.MULTILINE)}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def packages() -> dict[str, set[str]]:
    """Which packages bring a top-level name."""
    return {name: {plain(one) for one in brought} for name, brought in packages_distributions().items()}


def test_what_the_product_imports_is_named() -> None:
    asked = named(*RUNS)
    missing = {name: file for name, file in third_party(*PRODUCT).items() if not packages().get(name, set()) & asked}
    assert not missing


def test_what_tests_import_is_named() -> None:
    asked = named(*(file.name for file in ROOT.glob("requirements*.in")))
    missing = {name: file for name, file in third_party(*OTHERS).items() if not packages().get(name, set()) & asked}
    assert not missing


def test_what_the_peers_import_is_named() -> None:
    brought = {plain(name) for name in third_party(PEERS)} - {plain(name) for name in third_party()}
    assert brought
    assert brought <= named(*(f"{PEERS}/{file.name}" for file in (ROOT / PEERS).glob("*.in")))


def test_what_is_named_is_imported_or_has_a_reason() -> None:
    used = {one for name in third_party(*PRODUCT, *OTHERS) for one in packages().get(name, ())}
    idle = named(*(file.name for file in ROOT.glob("requirements*.in"))) - used
    lines = (ROOT / "docs" / "dependencies.md").read_text().splitlines()
    reasons = {plain(line.split("|")[1].strip()) for line in lines if "(not imported" in line}
    assert idle == reasons
