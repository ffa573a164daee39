"""The file of masking rules, as YAML; its path is the setting BATON_PII_RULES.

    pii_masking:
      enabled: true
      rules:
        - name: "employee_number"         # stands in the text as <employee_number> where the action is redact
          regex: "\\bEMP[0-9]{6}\\b"      # Python's syntax; a group named `value` is what is masked, else all of it
          starts_with: ["EMP"]            # optional, and fast: the regex is tried only where one of these stands
          action: "mask"                  # mask: *******; redact: <employee_number>
        - name: "phone"
          type: "cn_mobile_phone"         # instead of regex: a recogniser in code, recognisers.py lists them
          action: "mask"                  # what stays readable then is the recogniser's: 138****8000

A field that is not listed in the classes below is a mistake. Every mistake is told, as `PATH:LINE: place: message`.
`rules.py` reads the file anew when it changes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policy.pii.recognisers import TYPES, all_stars
from policy.pii.scan import Scan, Span
from settings import SettingsError
from storage.yaml_lines import Document, Mistake, Place, Unreadable, path_of, read

BUILT_IN = Path(__file__).parent / "rules.yaml"
MAX_BYTES = 1024 * 1024

Action: TypeAlias = Literal["mask", "redact"]
Text = Annotated[str, Field(min_length=1, max_length=1000)]


class InvalidRules(SettingsError):
    """The file of masking rules cannot be used; the message has a line for each mistake, with file, line and place."""


@dataclass(frozen=True)
class Rule:
    """One rule, ready to use. shown: what stands in the text instead of what was found."""

    name: str
    action: Action
    find: Callable[[Scan], Iterator[Span]]
    shown: Callable[[str], str]


@dataclass(frozen=True)
class Rules:
    """A file, ready to use. Nothing is masked where it is not enabled."""

    enabled: bool
    rules: tuple[Rule, ...]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class RuleEntry(_Entry):
    """One entry under `rules`."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
    action: Action
    regex: Text | None = None
    type: str | None = None
    starts_with: tuple[Text, ...] = ()


class Masking(_Entry):
    """The section `pii_masking`."""

    enabled: bool = True
    rules: tuple[RuleEntry, ...] = Field((), max_length=1000)


class RuleFile(BaseModel):
    """The whole file. Other sections of a policy file are none of ours."""

    pii_masking: Masking


def load(path: Path) -> Rules:
    """Read and check the file. Raises InvalidRules."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise Unreadable(Mistake(1, "", f"the file is larger than {MAX_BYTES // 1024} KB"))
        document = read(raw)
        masking, mistakes = _checked(document)
    except Unreadable as wrong:
        masking, mistakes = None, [*wrong.mistakes]
    except OSError as missing:
        raise InvalidRules(f"{path}: {missing.strerror}") from missing
    if masking is None or mistakes:
        raise InvalidRules("\n".join(f"{path}:{mistake.line}: {mistake}" for mistake in sorted(mistakes)))
    return Rules(masking.enabled, tuple(map(_rule, masking.rules)))


def _checked(document: Document) -> tuple[Masking | None, list[Mistake]]:
    mistakes = [*document.doubled]
    try:
        masking = RuleFile.model_validate(document.value).pii_masking
    except ValidationError as wrong:
        return None, mistakes + [_of_form(document, error) for error in wrong.errors()]
    for place, message in _of_content(masking):
        whole: Place = ("pii_masking", "rules", *place)
        mistakes.append(Mistake(document.line(whole), path_of(whole), message))
    return masking, mistakes


def _of_form(document: Document, error: Any) -> Mistake:
    place: Place = error["loc"]
    message = error["msg"].removeprefix("Value error, ")
    unknown = error["type"] == "extra_forbidden"
    if unknown:
        fields = RuleEntry.model_fields if len(place) > 2 else Masking.model_fields
        near = difflib.get_close_matches(str(place[-1]), fields, n=1, cutoff=0.5)
        message = "there is no such field" + (f", did you mean {near[0]}?" if near else "")
    elif error["type"] == "missing":
        message = "is missing"
    return Mistake(document.line(place, of_key=unknown), path_of(place), message)


def _of_content(masking: Masking) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """What is wrong although its form is right, with its place under `rules`."""
    names: dict[str, int] = {}
    for number, entry in enumerate(masking.rules):
        if names.setdefault(entry.name, number) != number:
            yield (number, "name"), f"rules[{names[entry.name]}] has this name already"
        if (entry.regex is None) == (entry.type is None):
            yield (number,), "either regex or type is expected"
        if entry.type is not None and entry.type not in TYPES:
            near = difflib.get_close_matches(entry.type, TYPES, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(TYPES)}"
            yield (number, "type"), f"there is no such type, {hint}"
        if entry.starts_with and entry.regex is None:
            yield (number, "starts_with"), "belongs to a regex"
        if entry.regex is not None and (complaint := _complaint(entry.regex)):
            yield (number, "regex"), complaint


def _complaint(regex: str) -> str | None:
    try:
        compiled = re.compile(regex)
    except (re.error, OverflowError, RecursionError) as wrong:
        return f"this is no pattern: {wrong}"
    return "this would be found everywhere: it matches the empty text" if compiled.search("") else None


def _rule(entry: RuleEntry) -> Rule:
    find, shown = TYPES[entry.type] if entry.type else (_finder(entry), all_stars)
    if entry.action == "redact":
        mark = f"<{entry.name}>"
        return Rule(entry.name, entry.action, find, lambda _found: mark)
    return Rule(entry.name, entry.action, find, shown)


def _finder(entry: RuleEntry) -> Callable[[Scan], Iterator[Span]]:
    """What finds an entry's regex: at the literals that it starts with, or anywhere."""
    pattern = re.compile(entry.regex or "")
    group: int | str = "value" if "value" in pattern.groupindex else 0

    def anywhere(scan: Scan) -> Iterator[Span]:
        for found in pattern.finditer(scan.text):
            yield found.span(group)

    def at_literals(scan: Scan) -> Iterator[Span]:
        for literal in entry.starts_with:
            for at in scan.places(literal):
                if found := pattern.match(scan.text, at):
                    yield found.span(group)

    return at_literals if entry.starts_with else anywhere
