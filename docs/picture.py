"""Makes docs/demo.svg, the README's picture, from a real run of `make demo`.

    .venv/bin/python docs/picture.py

It runs the demo in a fresh data dir and draws what it printed, line by line. Only the password of that instance's
Flower is replaced by dots; the instance is gone when the picture is there.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "demo.svg"
DATA_DIR = Path("/tmp/baton")  # its name stands in the picture
WIDTH_COLUMNS = 104


def demo() -> str:
    """What `make demo ARGS=--once` prints, with its colours. Raises CalledProcessError where it fails."""
    shutil.rmtree(DATA_DIR, ignore_errors=True)
    colours = {"FORCE_COLOR": "1", "TTY_INTERACTIVE": "0", "COLUMNS": str(WIDTH_COLUMNS), "COLORTERM": "truecolor"}
    command = ["make", "--no-print-directory", "demo", f"ARGS=--once --data-dir {DATA_DIR}"]
    try:
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **colours}, stdout=subprocess.PIPE, check=True)
    finally:
        shutil.rmtree(DATA_DIR, ignore_errors=True)
    return done.stdout.decode()


def shown(printed: str) -> Text:
    """The lines as a reader sees them, after the command that made them."""
    text = re.sub(r"(operator:)\S+?(?=\x1b|\s)", r"\1••••••", printed)
    lines = [line for line in text.splitlines() if "Starting PostgreSQL" not in line and "Stopping ..." not in line]
    while lines and not Text.from_ansi(lines[0]).plain.strip():
        lines.pop(0)
    return Text.assemble(("$ make demo\n", "bold"), Text.from_ansi("\n".join(lines).rstrip()))


def main() -> int:
    """Draw the picture."""
    console = Console(record=True, width=WIDTH_COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(shown(demo()), soft_wrap=False)
    drawn = console.export_svg(title="make demo", unique_id="demo")
    # The reader's own monospace font: nothing is fetched from elsewhere.
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL).replace("Fira Code", "ui-monospace")
    PICTURE.write_text(drawn, encoding="utf-8")
    print(f"written: {PICTURE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
