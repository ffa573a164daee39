"""Masks personal data and secrets: what is stored in the audit, in log lines and in the record of calls passes here.

    masked("联系人：张三丰，13800138000")         # "联系人：张**，138****8000"
    masked_value({"password": "x"})            # {"password": "<secret_value>"}
    findings("call 13800138000")               # [Finding("mobile_phone", 5, 16, "mask")]

The rules are those of `rules.py`. What was masked is not masked again: `masked(masked(text)) == masked(text)`.
Everything here is pure but for the look at the rule file, and may be called from any thread.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from policy.pii.rule_file import Action, Rule, Rules
from policy.pii.rules import rules
from policy.pii.scan import Scan, Span, half_width
from policy.pii.secrets import names_a_secret

Json: TypeAlias = Any  # None, bool, int, float, str, and lists and mappings of these

SECRET = "<secret_value>"
TOO_DEEP = "<too_deep>"
DEEPEST = 32
TIMES = 4  # how often a text is looked at; twice is nearly always enough
TELLING_KEY = 64  # a longer key is no name of what stands under it
TOLD_BY_KEY = 256  # a longer text tells of itself
# Most short values of a log line are words, ids and times: nothing can be in them. Longer words may be tokens.
QUIET = re.compile(
    r"[A-Za-z_]{1,15}(?:[ .,/\-]{1,2}[A-Za-z_]{1,15}){0,7}"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}|00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{5,15}(?:Z|[+-][0-9]{2}:?[0-9]{2})?|[0-9]{1,6}|"
)
ID = re.compile("[0-9a-f]{16}|[0-9a-f-]{36}")  # a span's id may look like a card's number


class Finding(NamedTuple):
    """Where a rule holds: text[start:end] is what it found."""

    rule: str
    start: int
    end: int
    action: Action


class _Found(NamedTuple):
    start: int
    end: int
    rule: Rule


def masked(text: str) -> str:
    """The text without personal data and secrets; a readable remainder or a mark stands in their place."""
    return text if QUIET.fullmatch(text) else _masked(text, rules())


def findings(text: str) -> list[Finding]:
    """What `masked` would replace, from the first to the last; no two overlap."""
    return [Finding(rule.name, start, end, rule.action) for start, end, rule in _found(text, rules())]


def masked_value(value: Json) -> Json:
    """A JSON value with every text in it masked, keys too.

    What stands under a key such as `password` is gone whole, and a key helps to understand its text:
    `{"receiver_name": "张三"}`. Deeper than 32 levels nothing is kept. What is no JSON becomes its text, and
    tuples become lists.
    """
    return _masked_value(value, rules(), 0)


def _masked_value(value: Json, using: Rules, depth: int) -> Json:
    if isinstance(value, str):
        return _text(value, using)
    if not using.enabled or value is None or isinstance(value, bool | int | float):
        return value
    if depth >= DEEPEST:
        return TOO_DEEP
    if isinstance(value, Mapping):
        keys = [_text(key, using) for key in value]
        return {key: _under(key, item, using, depth + 1) for key, item in zip(keys, value.values(), strict=True)}
    if isinstance(value, list | tuple):
        return [_masked_value(item, using, depth + 1) for item in value]
    return _text(str(value), using)


def _under(key: Any, value: Json, using: Rules, depth: int) -> Json:
    """The value under a key of a mapping; the key is masked already, so that the second time tells the same."""
    if not isinstance(key, str):
        return _masked_value(value, using, depth)
    if names_a_secret(key):
        return value if value is None or isinstance(value, bool) or value in ("", [], {}) else SECRET
    if not isinstance(value, str) or len(key) > TELLING_KEY or len(value) > TOLD_BY_KEY:
        return _masked_value(value, using, depth)
    if QUIET.fullmatch(value) or (key.endswith("_id") and ID.fullmatch(value)):
        return value
    return _masked(value, using, f"{key}: ")


def _text(value: Any, using: Rules) -> Any:
    return value if not isinstance(value, str) or QUIET.fullmatch(value) else _masked(value, using)


def _masked(text: str, using: Rules, told: str = "", times: int = TIMES) -> str:
    """The text masked. told: stands before it and helps to understand it, but is no part of it.

    What was put in may make something of the words beside it, so the lines that changed are looked at again.
    """
    found = [_Found(one.start - len(told), one.end - len(told), one.rule) for one in _found(told + text, using)]
    fresh = _without(text, [one for one in found if one.start >= 0])
    if times <= 1 or fresh == text:
        return fresh
    if told or "\n" not in fresh:
        return _masked(fresh, using, told, times - 1)
    known = set(text.split("\n"))
    return "\n".join(line if line in known else _masked(line, using, "", times - 1) for line in fresh.split("\n"))


def _without(text: str, found: list[_Found]) -> str:
    pieces: list[str] = []
    at = 0
    for start, end, rule in found:
        pieces += (text[at:start], rule.shown(half_width(text[start:end])))
        at = end
    return "".join((*pieces, text[at:])) if pieces else text


def _found(text: str, using: Rules) -> list[_Found]:
    """What the rules find, sorted. Where two overlap a secret wins, then the longer one, then the earlier rule."""
    if not using.enabled:
        return []
    scan = Scan(text)
    candidates = [_Found(start, end, rule) for rule in using.rules for start, end in rule.find(scan) if start < end]
    if len(candidates) > 1:
        candidates.sort(key=lambda one: (one.rule.action != "redact", one.start - one.end))  # stable: rules keep order
    chosen: list[_Found] = []
    spans: list[Span] = []
    for one in candidates:
        at = bisect_left(spans, (one.start, one.end))
        if (at == 0 or spans[at - 1][1] <= one.start) and (at == len(spans) or one.end <= spans[at][0]):
            spans.insert(at, (one.start, one.end))
            chosen.insert(at, one)
    return chosen
