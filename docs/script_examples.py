"""Makes the examples of docs/script-studio.md anew, by `manage.py script` on a running instance (`manage.py up`).

.venv/bin/python docs/script_examples.py             run each command and write what it printed
.venv/bin/python docs/script_examples.py --check     exit code 1 where an example has another shape than the command

What a script says differs from run to run, so the check looks at the shape: which lines there are, in which order.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "script-studio.md"
BLOCK = re.compile(r"```text\n\$ python manage\.py script (?P<args>[^\n]+)\n(?P<printed>.*?)```", re.DOTALL)
TIMEOUT_SECONDS = 120
# What every run of the command prints, in this order; the script stands between them.
EITHER = r"(?:creator|product)   "  # fetched at the same moment
SHAPES = {
    "script": (
        r"intent    generate", EITHER, EITHER, r"checked   passed=",
        r"[\d.]+ s, tone \S+, by (?:model|rules), \d rewrites", r"quality: ", r"status: completed",
    ),
    "change": (
        r"intent    modify", r"script    \d+ parts", EITHER, EITHER, r"checked   passed=", r"quality: ",
        r"\[\w+\]", r"  - ", r"  \+ ", r"status: completed",
    ),
    "batch": (
        r"intent    batch", r"batch     \d+ products", r"item    1 ", r"\d+ scripts, \d+ failed", r"status: completed",
    ),
}  # fmt: skip


def examples(text: str) -> Iterator[tuple[str, str]]:
    """(the command's arguments, what it printed) of every example of the page."""
    for found in BLOCK.finditer(text):
        yield found["args"], found["printed"]


def shape_of(printed: str) -> str | None:
    """Which of the shapes this is, or None."""
    for name, lines in SHAPES.items():
        pattern = ".*".join(f"^{line}" for line in lines)
        if re.search(pattern, printed, re.MULTILINE | re.DOTALL):
            if name == "script" and re.search(r"^\[\w+\]\n  - ", printed, re.MULTILINE):
                continue
            return name
    return None


def made_again(text: str) -> str:
    """The page with every example run anew."""

    def run(found: re.Match[str]) -> str:
        command = f"{sys.executable} manage.py script {found['args']}"
        done = subprocess.run(
            command, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
        if shape_of(done.stdout) is None:
            raise SystemExit(f"{command}: {done.stdout}{done.stderr}")
        return f"```text\n$ python manage.py script {found['args']}\n{done.stdout.strip()}\n```"

    return BLOCK.sub(run, text)


def main(args: list[str]) -> int:
    """Make the examples, or check their shape."""
    text = PAGE.read_text(encoding="utf-8")
    if "--check" in args:
        wrong = [given for given, printed in examples(text) if shape_of(printed) is None]
        for given in wrong:
            print(f"stale: manage.py script {given}")
        return 1 if wrong else 0
    PAGE.write_text(made_again(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
