"""What the script nodes know, as data files: words, sentences, rules and the built-in creators and products."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as SafeLoader  # the same, several times as fast
except ImportError:  # PyYAML was built without libyaml
    from yaml import SafeLoader  # type: ignore[assignment]

FOLDER = Path(__file__).parent


@cache
def load(name: str) -> Any:
    """The content of the YAML file `name` (without its ending) of this folder; read once a process."""
    return yaml.load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), SafeLoader)
