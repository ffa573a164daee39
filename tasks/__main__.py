"""Does maintenance here and now, in this process: `python -m tasks upkeep.retention`."""

from __future__ import annotations

import sys

from tasks import app


def main(names: list[str]) -> int:
    """Do the named tasks one after the other. Exit code 2: there is no maintenance of that name."""
    known = sorted(name for name in app.tasks if name.startswith("upkeep."))
    if not names or not set(names) <= set(known):
        print(f"name maintenance: {', '.join(known)}", file=sys.stderr)
        return 2
    for name in names:
        app.tasks[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
