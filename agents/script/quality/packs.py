"""Rule packs: what may not be said, as YAML files with versions, checked when they are read.

A pack is a file of `data/rule_packs/`; `evasions.yaml` beside them says how words are disguised. A field that is not
listed here is a mistake, and every mistake is told with its line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from agents.script.data import load
from agents.script.quality.folding import plain
from agents.script.quality.terms import Disguises
from storage.yaml_lines import Unreadable, path_of, read

EVASIONS = "evasions.yaml"
MAX_BYTES = 1024 * 1024
MAX_PATTERN = 400
CHARACTER_SET = re.compile(r"\\.|\[[^\]]*\]")
UNBOUNDED = re.compile(r"[*+]|\{\d*,\}")
PARTS = re.compile(
    r"(?P<open>\((?:\?(?:P<\w{1,40}>|<?[=!]|[a-z:>]))?)|(?P<close>\))|(?P<repeat>\{(?P<low>\d*)(?P<to>,?)(?P<high>\d*)\}|\?)"
)


def _is_heard(word: str) -> str:
    if not any(character.isalnum() for character in plain(word)):
        raise ValueError("nothing of this word is heard: a letter or a digit is expected")
    return word


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.\-]{0,40}$")]
Text = Annotated[str, Field(min_length=1, max_length=500)]
Term = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_is_heard)]
Sound = Annotated[str, Field(pattern=r"^[a-z]{1,8}$")]
Instead = Annotated[str, Field(max_length=60)]


class InvalidPack(ValueError):
    """A rule pack cannot be used; the message has a line for each mistake, with file, line and place."""


def nests(source: str) -> bool:
    """Whether a part that varies in length is repeated itself: such a pattern may take minutes."""
    varies = [False]  # of each group that is open, the outermost first
    group_varies, end = False, -1  # of the group that closed at `end`
    for part in PARTS.finditer(CHARACTER_SET.sub("x", source)):
        if part["open"]:
            varies.append(False)
        elif part["close"]:
            group_varies, end = len(varies) > 1 and varies.pop(), part.end()
            varies[-1] |= group_varies
        else:
            low, high = (0, 1) if part["repeat"] == "?" else _bounds(part)
            if high > 1 and part.start() == end and group_varies:
                return True
            varies[-1] |= low != high
    return False


def _bounds(part: re.Match[str]) -> tuple[int, int]:
    low = int(part["low"] or 0)
    return low, int(part["high"] or 0) if part["to"] else low


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _is_pattern(source: str) -> str:
    if UNBOUNDED.search(CHARACTER_SET.sub("x", source)):
        raise ValueError("* and + have no end and may take minutes: write {1,20} instead")
    if nests(source):
        raise ValueError("a repeat within a repeat may take minutes: write {1,20} once")
    try:
        re.compile(source)
    except (re.error, OverflowError, RecursionError) as wrong:
        raise ValueError(f"this is no pattern: {wrong}") from wrong
    return source


class Pattern(_Strict):
    """A regular expression over folded text (lower case, half-width, simplified), and what may stand in its place."""

    find: str = Field(min_length=1, max_length=MAX_PATTERN)
    instead: Instead | None = None

    _checked = field_validator("find")(_is_pattern)


class Wording(_Strict):
    """A rule in one language. words: each with its replacement or null; innocent: uses that contain one and are fine;
    excused_by: patterns that make the whole sentence fine; fallback: said where nothing else of a sentence stays."""

    reason: Text
    article: Text | None = None
    words: Mapping[Term, Instead | None] = Field(default_factory=dict)
    patterns: tuple[Pattern, ...] = ()
    innocent: tuple[Term, ...] = ()
    innocent_patterns: tuple[str, ...] = ()
    excused_by: tuple[str, ...] = ()
    fallback: Text | None = None

    @field_validator("innocent_patterns", "excused_by")
    @classmethod
    def _are_patterns(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_is_pattern(source) for source in sources)


class Rule(_Strict):
    """One rule. negatable: "cannot cure" is fine; unless_in_row: fine where the product's row says it, if the product
    has one of the tags `row_counts_with` (where there are any) and none of `row_counts_not_with`; support: groups of
    words that mean the same, for the row may word it otherwise."""

    id: Name
    family: Name
    severity: Literal["error", "warning"] = "error"
    negatable: bool = False
    unless_in_row: bool = False
    row_counts_with: tuple[Term, ...] = ()
    row_counts_not_with: tuple[Term, ...] = ()
    support: tuple[tuple[Term, ...], ...] = ()
    zh: Wording | None = None
    en: Wording | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Rule:
        if not (self.zh or self.en):
            raise ValueError("zh or en is expected")
        return self


class Told(_Strict):
    """A reason in one language."""

    reason: Text
    article: Text | None = None


class Notice(_Strict):
    """Something about a whole script of the pack, told of every one; with a `statement` (its name in
    data/statements.yaml) of every one that does not say that."""

    id: Name
    family: Name
    severity: Literal["error", "warning"] = "error"
    statement: str | None = None
    zh: Told | None = None
    en: Told | None = None

    @field_validator("statement")
    @classmethod
    def _is_there(cls, name: str | None) -> str | None:
        if name is not None and name not in load("statements"):
            raise ValueError(f"there is no statement {name!r}, only {', '.join(load('statements'))}")
        return name

    def say(self, language: str) -> str | None:
        """What a script has to say in this language, or None."""
        return str(load("statements")[self.statement][language]) if self.statement else None


class Pack(_Strict):
    """One file. categories, tags: of products for which it holds (one of either is enough); platforms: where it holds;
    empty: for everything, everywhere."""

    id: Name
    version: Annotated[str, Field(min_length=1, max_length=40)]
    title: Text
    categories: tuple[Term, ...] = ()
    tags: tuple[Term, ...] = ()
    platforms: tuple[Term, ...] = ()
    rules: tuple[Rule, ...] = Field((), max_length=500)
    notices: tuple[Notice, ...] = Field((), max_length=20)

    @field_validator("rules")
    @classmethod
    def _ids_once(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        ids = [rule.id for rule in rules]
        if doubled := {one for one in ids if ids.count(one) > 1}:
            raise ValueError(f"rule ids given twice: {', '.join(sorted(doubled))}")
        return rules

    @model_validator(mode="after")
    def _holds_something(self) -> Pack:
        if not (self.rules or self.notices):
            raise ValueError("rules or notices are expected")
        return self


class Evasions(_Strict):
    """How words are disguised. sounds: pinyin -> its characters; the rest as `Disguises` has it."""

    version: str
    sounds: Mapping[Sound, str]
    alike: Mapping[str, str] = Field(default_factory=dict)
    alike_in_words: Mapping[str, str] = Field(default_factory=dict)
    spellings: Mapping[Term, tuple[Term, ...]] = Field(default_factory=dict)
    negations: Mapping[str, Annotated[str, AfterValidator(_is_pattern)]]

    def disguises(self) -> Disguises:
        """As the patterns are made from it."""
        sounds = {character: sound for sound, characters in self.sounds.items() for character in characters}
        return Disguises(sounds, self.alike, self.alike_in_words, self.spellings)


Model = TypeVar("Model", bound=BaseModel)


def read_file(path: Path, model: type[Model]) -> Model:
    """The file as the model has it. Raises InvalidPack with every mistake and its line."""
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES:
            raise InvalidPack(f"{path}: the file is larger than {MAX_BYTES // 1024} KB")
        document = read(raw)
    except OSError as missing:
        raise InvalidPack(f"{path}: {missing.strerror}") from missing
    except Unreadable as wrong:
        raise InvalidPack("\n".join(f"{path}:{mistake.line}: {mistake}" for mistake in wrong.mistakes)) from wrong
    if document.doubled:
        raise InvalidPack("\n".join(f"{path}:{mistake.line}: {mistake}" for mistake in document.doubled))
    try:
        return model.model_validate(document.value)
    except ValidationError as wrong:
        raise InvalidPack("\n".join(_told(path, document, error) for error in wrong.errors())) from wrong


def _told(path: Path, document: Any, error: Any) -> str:
    """One mistake as PATH:LINE: place: message."""
    place = [part for part in error["loc"] if part != "[key]"]
    return f"{path}:{document.line(place)}: {path_of(place)}: {error['msg']}"
