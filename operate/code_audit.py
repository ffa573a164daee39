"""`make audit`: looks for unsafe code, for secrets in the repository, and for packages with known holes.

    python -m operate.code_audit [code] [secrets] [packages]     by default all three
    python -m operate.code_audit --accept-secrets                what is found now is no secret: into the baseline

code: bandit over the product (pyproject.toml says what is left out), from medium severity on; each `# nosec` has a
reason. secrets: detect-secrets over all tracked files, against `.secrets.baseline`, which holds hashes of what looks
like a secret and is an example. packages: pip-audit over the lock file, where its source of advisories can be reached.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / ".secrets.baseline"
# Hashes and generated figures only: each line would look like a secret.
NOT_SEARCHED = r"\.lock$|^docs/.*\.svg$|^\.secrets\.baseline$"
SECONDS = 300
UNREACHABLE = "packages: the source of advisories is not reachable: skipped"

Found = set[tuple[str, str, str]]


def main(args: list[str]) -> int:
    """Exit code 0: nothing found; 1: something, and it was printed; 2: there is no such check."""
    if args == ["--accept-secrets"]:
        BASELINE.write_text(json.dumps(_scan(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return 0
    checks: dict[str, Callable[[], bool]] = {"code": code, "secrets": secrets, "packages": packages}
    if not set(args) <= set(checks):
        print(f"there is {', '.join(checks)} and --accept-secrets", file=sys.stderr)
        return 2
    passed = [check() for name, check in checks.items() if name in (args or checks)]
    return 0 if all(passed) else 1


def code() -> bool:
    """Whether bandit finds nothing of medium severity or worse."""
    done = _run("bandit", "-c", "pyproject.toml", "-r", ".", "-ll", "--quiet")
    print("code: nothing of medium severity or worse" if done.returncode == 0 else done.stdout or done.stderr)
    return done.returncode == 0


def secrets() -> bool:
    """Whether nothing looks like a secret but what the baseline knows."""
    known = _findings(json.loads(BASELINE.read_text(encoding="utf-8")))
    found = _scan()
    fresh = sorted(_findings(found) - known)
    for path, kind, digest in fresh:
        lines = [one["line_number"] for one in found["results"][path] if one["hashed_secret"] == digest]
        print(f"secrets: {path}:{lines[0]}: {kind}")
    if not fresh:
        print(f"secrets: none beside the {len(known)} examples of the baseline")
    return not fresh


def packages() -> bool:
    """Whether no locked package has a known hole; True, with a word, where nobody can be asked."""
    done = _run("pip_audit", "-r", "requirements.lock", "--disable-pip", "--progress-spinner", "off", "-f", "json")
    try:
        told: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        told = []
    if not any("vulns" in one for one in told):  # an error, or every single package was skipped
        print(UNREACHABLE)
        return True
    holes = [(one, hole) for one in told for hole in one.get("vulns", ())]
    for one, hole in holes:
        fixed = ", ".join(hole.get("fix_versions") or ["nothing yet"])
        print(f"packages: {one['name']} {one['version']}: {hole['id']}, fixed in {fixed}")
    skipped = sum("vulns" not in one for one in told)
    print(f"packages: {len(told) - skipped} looked at, {skipped} unknown to the source, {len(holes)} holes")
    return not holes


def _scan() -> dict[str, Any]:
    """What looks like a secret in the tracked files, in the form of detect-secrets' baseline without its date."""
    found: dict[str, Any] = json.loads(
        _run("detect_secrets", "scan", "--no-verify", "--exclude-files", NOT_SEARCHED).stdout
    )
    found.pop("generated_at", None)
    return found


def _findings(scan: dict[str, Any]) -> Found:
    """(file, kind, hash of what was found): lines move, these do not."""
    return {(path, one["type"], one["hashed_secret"]) for path, every in scan["results"].items() for one in every}


def _run(module: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *args]
    return subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
