"""`make audit`: a planted secret is found, what the baseline knows is not, and a missing source is no failure."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from operate import code_audit

PLANTED = 'aws_key = "AKIA' + 'Q3EGRIPHZ5X7WMNB"\n'
FOLDERS = ("agents", "app", "chains", "gateway", "identity", "operate", "policy", "storage", "tasks")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own, with a baseline of what is in it."""
    monkeypatch.setattr(code_audit, "ROOT", tmp_path)
    monkeypatch.setattr(code_audit, "BASELINE", tmp_path / ".secrets.baseline")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / "known.py").write_text(PLANTED.replace("MNB", "MNC"))
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    assert code_audit.main(["--accept-secrets"]) == 0
    return tmp_path


def test_a_new_secret_is_found_and_a_known_one_may_move(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Given a known one, some lines further down
    known = repository / "known.py"
    known.write_text("\n\n\n" + known.read_text())
    assert code_audit.main(["secrets"]) == 0
    # When a new one is planted
    (repository / "new.py").write_text(f"# where\n{PLANTED}")
    subprocess.run(["git", "add", "."], cwd=repository, check=True)
    # Then it is told, without the secret itself, and nothing of the baseline
    assert code_audit.main(["secrets"]) == 1
    told = capsys.readouterr().out
    assert "new.py:2" in told and "AKIA" not in told and "known.py" not in told
    assert "AKIA" not in (repository / ".secrets.baseline").read_text()


@pytest.mark.parametrize(
    ("answer", "passed", "told"),
    [
        ("", True, "not reachable: skipped"),
        ("Traceback", True, "not reachable: skipped"),
        ({"dependencies": [{"name": "a", "skip_reason": "not found"}]}, True, "not reachable: skipped"),
        ({"dependencies": [{"name": "a", "version": "1", "vulns": []}]}, True, "1 looked at"),
        (
            {"dependencies": [
                {"name": "b", "skip_reason": "x"},
                {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]},
            ]},
            False,
            "a 1: CVE-1, fixed in 2",
        ),
    ],
)  # fmt: skip
def test_known_holes_fail_and_a_missing_source_does_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: object, passed: bool, told: str
) -> None:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    monkeypatch.setattr(code_audit, "_run", lambda *_: subprocess.CompletedProcess([], 1, stdout=text, stderr=""))
    assert code_audit.main(["packages"]) == (0 if passed else 1)
    assert told in capsys.readouterr().out


def test_an_unknown_check_is_refused() -> None:
    assert code_audit.main(["everything"]) == 2


def test_every_exception_has_a_reason() -> None:
    files = [
        path for folder in FOLDERS for path in (code_audit.ROOT / folder).rglob("*.py") if path.name != "code_audit.py"
    ]
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines() if "nosec" in line]
    assert lines
    assert not [line for line in lines if not re.search(r"# nosec B\d{3} # \w+ \w+", line)]
