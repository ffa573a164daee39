"""What a model is told: Jinja2 templates in data/prompts/, one for each vertical over a shared one, with versions.

A template's first comment says its version; the versions of all that made a prompt are sent along with the request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from agents.script.brief import Brief, words_of
from agents.script.data import FOLDER, load
from agents.script.words import Language
from agents.script.writing.parts import spoken_a_minute
from agents.script.writing.plan import kinds_of, seconds_wanted
from agents.script.writing.speech import VERTICALS

ENVIRONMENT = Environment(  # nosec B701 # its texts go to a model, never to a browser
    loader=FileSystemLoader(FOLDER / "prompts"),
    undefined=StrictUndefined,
    autoescape=False,  # speech, not HTML
    trim_blocks=True,
    lstrip_blocks=True,
)
VERSION = re.compile(r"\{#\s*version:\s*([\w.-]+?)[.\s]")
BACKGROUND: dict[Language, str] = {
    "zh": "这场对话前面聊过的，写的时候参考，不用回复：",
    "en": "What this talk was about before, as background that needs no answer:",
}
SINGLE_FACTS = ("brand", "offer", "stock_note", "specification", "origin")


def system_prompt(language: Language) -> str:
    """What is told before everything else: the same for all requests in a language."""
    return rendered(f"{language}/system.j2", {})


def background(brief: Brief) -> list[dict[str, str]]:
    """What the session said before its last turns, as a message of its own; none where it is not that long.

    The user's and not the system's: it holds the users' own words, and some models take one system message only.
    """
    if not brief.summary:
        return []
    return [{"role": "user", "content": f"{BACKGROUND[brief.language]}\n{brief.summary}"}]


def request_prompt(brief: Brief) -> str:
    """One request, with the advice for its vertical."""
    return rendered(f"{brief.language}/{vertical_of(brief)}.j2", words(brief))


def rewrite_prompt(brief: Brief, script: str, findings: Any) -> str:
    """A script with what is wrong with it, to be written again."""
    return rendered(f"{brief.language}/rewrite.j2", {**words(brief), "script": script, "findings": findings})


def rendered(name: str, values: dict[str, Any]) -> str:
    """A template of the folder with its values, without space around it."""
    return ENVIRONMENT.get_template(name).render(values).strip()


def version_of(brief: Brief) -> str:
    """Which prompts a request is made with: "script/zh/beauty@2026-11-20+2026-11-20+2026-11-20"."""
    own, language = vertical_of(brief), brief.language
    versions = [declared(f"{language}/{name}.j2") for name in (own, "request", "system")]
    return f"script/{language}/{own}@{'+'.join(versions)}"


@cache
def declared(name: str) -> str:
    """The version in a template's first comment. ValueError: it names none."""
    found = VERSION.match((FOLDER / "prompts" / name).read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"data/prompts/{name} does not begin with its version")
    return found[1]


@cache
def inline(text: str) -> Template:
    """A template that is a line of a YAML file."""
    return ENVIRONMENT.from_string(text)


def vertical_of(brief: Brief) -> str:
    """The vertical whose advice a request gets."""
    return brief.category if brief.category in VERTICALS else "general"


def words(brief: Brief) -> dict[str, Any]:
    """The names that a prompt may use."""
    labels = load(f"templates/{brief.language}")["labels"]
    length = brief.target_length or round(seconds_wanted(brief) * spoken_a_minute(brief.language) / 60)
    return {
        **{name: brief.facts.get(name) for name in ("creator", "category", "occasion", "platform", "audience")},
        "query": brief.query,
        "tone": brief.tone,
        "style": brief.style,
        "persona": brief.persona,
        "catch_phrases": brief.catch_phrases,
        "policy_tags": brief.policy_tags,
        "product_facts": list(product_facts(brief)),
        "must_say": brief.must_say,
        "unsayable": list(dict.fromkeys((*brief.banned, *brief.brand_bans, *brief.must_not_say))),
        "length": length,
        "seconds": round(length * 60 / spoken_a_minute(brief.language)),
        "labels": [labels[kind] for kind in kinds_of(brief)],
    }


def product_facts(brief: Brief) -> Iterator[tuple[str, str]]:
    """Each fact of the product with the name of its field."""
    facts, row = brief.facts, brief.row
    if facts.get("product"):
        yield "name", str(facts["product"])
    for name in ("price", "original_price"):
        if facts.get(name) is not None:
            between = "" if brief.language == "zh" else " "
            yield name, f"{facts[name]}{between}{facts.get('currency') or ''}".strip()
    for name in SINGLE_FACTS:
        if facts.get(name):
            yield name, str(facts[name])
    yield from (("selling_points", point) for point in brief.points)
    for name in ("ingredients", "certifications"):
        if listed := words_of(row.get(name)):
            yield name, {"zh": "、", "en": ", "}[brief.language].join(listed)
    if facts.get("suits"):
        yield "audience", str(facts["suits"])
    for name, value in (row.get("extra") or {}).items():
        if isinstance(value, str | int | float):
            yield f"extra.{name}", str(value)
