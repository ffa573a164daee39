"""Bounds the processes' log files and shows what is new in them on the terminal, each line with its process's name."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

MAX_FILE_BYTES = 20_000_000
MAX_SHOWN_BYTES = 64_000  # a look; a process that writes more is shown in part, its file has all
MAX_LINE_CHARS = 300


class LogView:
    """Follows the log files of one instance. The processes write to them directly, so a stuck terminal blocks none."""

    def __init__(self, folder: Path, *, quiet: bool) -> None:
        self.folder = folder
        self.quiet = quiet
        self._places: dict[Path, int] = {path: path.stat().st_size for path in folder.glob("*.log")}

    def look(self) -> None:
        """Show what was written since the last look, and move a file that grew too large aside."""
        for path in sorted(self.folder.glob("*.log")):
            size = path.stat().st_size
            start = self._places.get(path, 0)
            if size < start:
                start = 0
            if size > start and not self.quiet:
                self._show(path, start, size)
            self._places[path] = size
            if size > MAX_FILE_BYTES:
                self._turn_over(path)

    def _show(self, path: Path, start: int, size: int) -> None:
        with path.open("rb") as file:
            file.seek(max(start, size - MAX_SHOWN_BYTES))
            text = file.read(MAX_SHOWN_BYTES).decode(errors="replace")
        for line in text.splitlines():
            sys.stdout.write(f"{path.stem:<9}| {line[:MAX_LINE_CHARS]}\n")
        sys.stdout.flush()

    def _turn_over(self, path: Path) -> None:
        """Copy and truncate: the process keeps its open file, which is in append mode."""
        shutil.copyfile(path, path.with_suffix(".log.1"))
        with path.open("r+b") as file:
            file.truncate(0)
        self._places[path] = 0

    def tail(self, name: str, lines: int = 15) -> str:
        """The last lines of a process's log."""
        path = self.folder / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""
