"""Named SQL: `storage/sql/*.sql` holds the hot path's statements, each under a line `-- name: claim(uuid, int)`.

The header gives the types of $1, $2, ...; the comment lines under it say who calls it and how often.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "sql"
_HEADER = re.compile(r"^-- name: (\w+)\(([^)]*)\)\s*$", re.MULTILINE)


@cache
def _all() -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted(_FOLDER.glob("*.sql")):
        parts = _HEADER.split(file.read_text(encoding="utf-8"))
        for name, types, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            if name in found:
                raise ValueError(f"{file.name}: the statement {name} is defined twice")
            head = f"PREPARE {name} ({types})" if types.strip() else f"PREPARE {name}"
            found[name] = f"{head} AS\n{body.strip().rstrip(';')}"
    return found


def statement(name: str) -> str:
    """The `PREPARE` of a named statement. Raises KeyError for a name that no file defines."""
    return _all()[name]
