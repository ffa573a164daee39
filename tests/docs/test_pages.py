"""What the pages say is there: links, files, commands, API paths, settings, metrics, events, dependencies."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from app.operation import OPERATIONS
from settings import ENV_NAMES
from tests.docs.pages import PAGES, ROOT, anchors_of, links_of, table_after, text_of

DOCS = ROOT / "docs"
# Not settings: what Kubernetes would make of a Service's name.
NO_SETTINGS = {"BATON_WEB_PORT"}


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py, which is no package."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links_of(page):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} does not exist"
        if anchor:
            assert anchor in anchors_of(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|md|sql|toml))`", text_of(page))
    mine = {ROOT / name for name in named if not name.startswith(("shop", "text/", "application/"))}
    missing = [path for path in mine if not path.exists() and not (page.parent / path.relative_to(ROOT)).exists()]
    assert not missing


def test_generated_pages_are_not_stale(generate: ModuleType) -> None:
    assert generate.stale() == [], "run .venv/bin/python docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path, generate: ModuleType) -> None:
    import manage
    from operate import run_commands, script_command

    if "run" not in manage.cli.commands:
        for commands in (run_commands, script_command):
            commands.add_commands(manage.cli, manage.data_dir_option)
    known = {words[:2] for words, _ in generate._commands(manage.cli, ())} | {(name,) for name in manage.cli.commands}
    for first, second in re.findall(r"manage\.py ([a-z][\w-]*)(?: ([a-z][\w-]*))?", text_of(page)):
        group = {words for words in known if words[0] == first}
        assert group, f"manage.py {first}"
        if second and any(len(words) == 2 for words in group):
            assert (first, second) in group, f"manage.py {first} {second}"


def test_every_target_of_make_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:`|^)make ([a-z-]+)", text_of(page), re.MULTILINE))
        assert named <= targets, (page, named - targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_api_paths_exist(page: Path) -> None:
    import app.factory  # noqa: F401  (registers the operations)

    known = {(one.method, _plain(one.path)) for one in OPERATIONS}
    for method, path in re.findall(r"`(GET|POST) (/api/v1/[^\s`?]*)", text_of(page)):
        assert (method, _plain(path)) in known, f"{method} {path}"
    for path in re.findall(r"(?<![A-Z] )`(/api/v1/[^\s`?]+)`", text_of(page)):
        assert any(_plain(path) == there for _, there in known), path


def _plain(path: str) -> str:
    """A path with its variables made alike."""
    return re.sub(r"<[^>]+>|\{[^}]+\}", "*", path).rstrip("/")


def test_the_readme_names_every_call() -> None:
    import app.factory  # noqa: F401

    said = text_of(ROOT / "README.md")
    missing = [
        one.path
        for one in OPERATIONS
        if re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", one.path) not in said
        and "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", one.path).split("/", 4)[-1] not in said
        and "/" + one.path.rsplit("/", 1)[-1].replace("<int:version>", "{version}") not in said
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_exist(page: Path) -> None:
    named = set(re.findall(r"\bBATON_[A-Z_]+[A-Z]\b", text_of(page)))
    assert named <= set(ENV_NAMES) | NO_SETTINGS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_metrics_exist(page: Path, generate: ModuleType) -> None:
    known = {row[0] for row in generate.counted()} | {row[0] for row in generate.measured()}
    known |= {f"{name}_{part}" for name in known for part in ("bucket", "sum", "count")} | {"agent_token_usage"}
    named = set(re.findall(r"\b(?:baton|agent)_[a-z_]+(?=[`\[{ ])", text_of(page)))
    not_metrics = {"agent_id", "baton_app", "baton_keeper"}
    assert named - not_metrics <= known


def test_every_direct_dependency_has_a_line() -> None:
    said = text_of(DOCS / "dependencies.md")
    for path in [*sorted(ROOT.glob("requirements*.in")), *sorted((ROOT / "bench/peers").glob("*.in"))]:
        for line in path.read_text().splitlines():
            name = re.match(r"[A-Za-z][\w.-]*", line)
            if name:
                assert f"| {name[0]} |" in said, f"{path.name}: {name[0]}"


def test_every_decision_is_listed() -> None:
    listed = {link for link in links_of(DOCS / "adr" / "README.md") if link[0].isdigit()}
    assert listed == {path.name for path in (DOCS / "adr").glob("0*.md")}


def test_the_tour_names_functions_that_exist() -> None:
    # Each part of the tour is headed by its file; `name()` in it is a function or class of that file.
    parts = re.split(r"^## \d\. `([^`]+)`$", text_of(DOCS / "tour.md").partition("\n## What watches")[0], flags=re.M)
    assert len(parts) == 1 + 2 * 6
    for name, said in zip(parts[1::2], parts[2::2], strict=True):
        tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
        there = {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.ClassDef)}
        named = set(re.findall(r"`(\w+)\(\)`", said)) | set(re.findall(r"`(_[A-Z]\w+)`", said))
        assert named, name
        assert named <= there, (name, named - there)


def test_every_event_of_the_engine_is_told() -> None:
    told = {cell.strip("`") for cell, *_ in table_after(DOCS / "run-states.md", "## Events")}
    written = set()
    for path in [*(ROOT / "chains").glob("*.py"), *(ROOT / "tasks").glob("*.py")]:
        source = path.read_text(encoding="utf-8")
        written |= set(re.findall(r'Event\(\s*"(\w+)"', source)) | set(re.findall(r'f"(run_)\{status\}"', source))
    for path in (ROOT / "storage" / "sql").glob("*.sql"):
        written |= set(re.findall(r"'((?:run|step)_\w+)'", path.read_text(encoding="utf-8")))
    written.discard("run_")
    written |= {"run_failed", "run_cancelled"}
    assert told == written
