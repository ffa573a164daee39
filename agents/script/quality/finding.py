"""What a check finds: one thing wrong, with the rule, the place in the text and how it can be said instead."""

from __future__ import annotations

from typing import TypedDict

TEXT_SHOWN = 60  # a finding that concerns the whole script shows its beginning


class Finding(TypedDict):
    """One thing wrong.

    rule: pack id and rule id, "ad-law-9.3"; family: the kind of rule, "absolute"; severity: an "error" fails the
    script, a "warning" does not; start, end: the span in the original text; message: the reason, for people; instead:
    what may stand in the span's place, or None; rewrite: the sentence said so that it passes, None where no single
    sentence is at fault, "" where the sentence can only go.
    """

    rule: str
    pack: str
    version: str
    family: str
    article: str
    severity: str
    start: int
    end: int
    text: str
    message: str
    instead: str | None
    rewrite: str | None


def finding(
    rule: str,
    script: str,
    start: int,
    end: int,
    message: str,
    *,
    severity: str = "error",
    family: str | None = None,
    pack: str | None = None,
    version: str = "built-in",
    article: str = "",
    instead: str | None = None,
    rewrite: str | None = None,
) -> Finding:
    """A Finding over script[start:end]. family, pack: without one, the rule's own name."""
    return Finding(
        rule=rule,
        pack=pack or rule,
        version=version,
        family=family or rule,
        article=article,
        severity=severity,
        start=start,
        end=end,
        text=script[start:end][:TEXT_SHOWN],
        message=message,
        instead=instead,
        rewrite=rewrite,
    )
