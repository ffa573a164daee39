"""The quality rules' door: everything that may be wrong with a script, or with a part of one.

What may not be said stands in rule packs (`data/rule_packs/`, read by `quality/`); how a script must be shaped stands
in `quality/shape.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.script.brief import Brief
from agents.script.quality.facts import known_from
from agents.script.quality.finding import Finding
from agents.script.quality.mending import with_rewrites
from agents.script.quality.shape import (
    missing_subject,
    of_product,
    repeated,
    unsaid,
    wrong_language,
    wrong_length,
    wrong_structure,
    wrong_voice,
)
from agents.script.quality.wording import REGISTERED, wrong_words


def check(script: str, brief: Brief, parts: Sequence[Mapping[str, Any]] = ()) -> list[Finding]:
    """Every finding in a script, in the order of the text, those of the whole last. parts: its parts with their kinds,
    where they are known."""
    known = known_from(brief)
    words = wrong_words(script, brief, known)
    findings = [
        *with_rewrites(script, [one for one in words if one["rule"] != REGISTERED], brief, known),
        *(one for one in words if one["rule"] == REGISTERED),  # told, and nothing to mend
        *repeated(script),
        *wrong_length(script, brief),
        *missing_subject(script, brief),
        *wrong_language(script, brief),
        *(wrong_structure(script, brief, parts) if parts else ()),
        *wrong_voice(script, brief),
        *unsaid(script, brief),
        *of_product(script, brief),
    ]
    whole = len(script)
    return sorted(findings, key=lambda one: (one["end"] - one["start"] == whole, one["start"], one["end"]))


def check_words(text: str, brief: Brief) -> list[Finding]:
    """What must not be said, in a script or in a part of one."""
    findings = [*wrong_words(text, brief, known_from(brief)), *repeated(text)]
    return sorted(findings, key=lambda finding: (finding["start"], finding["end"]))
