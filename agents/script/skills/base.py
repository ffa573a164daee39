"""The script that a request is about, with its parts and what was asked for then: of a run, a session, or pasted in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from agents.script.words import Language, language_of
from agents.script.writing.parts import Part
from errors import NotFound
from node import Context, Final
from storage import blobs, catalog, sessions
from storage.reads import runs

UNNAMED = "body"
KINDS = (
    ("interaction", re.compile(r"公屏|弹幕|评论区|\bchat\b|\bcomments?\b", re.IGNORECASE)),
    ("offer", re.compile(r"\d+(?:\.\d+)?\s*(?:元|块)|优惠|\$\s*\d|\bdollars?\b|\bprice\b", re.IGNORECASE)),
    ("pain_point", re.compile(r"有没有|是不是|怕|烦|愁|[?？]", re.IGNORECASE)),
)


@dataclass(frozen=True)
class Base:
    """An earlier script. item: the part that is meant, from 1; output: that of its run, {} where nobody has it."""

    parts: list[Part]
    run_id: str | None = None
    item: int | None = None
    output: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "\n".join(part["text"] for part in self.parts)

    @property
    def language(self) -> Language:
        return language_of(self.text)

    @property
    def slots(self) -> dict[str, Any]:
        """What was asked for then, with the names that its sources found."""
        slots = dict(self.output.get("slots") or {})
        sources = self.output.get("sources") or {}
        for slot, source in (("product", "product"), ("creator", "creator")):
            if not slots.get(slot) and (sources.get(source) or {}).get("name"):
                slots[slot] = sources[source]["name"]
        return slots


def find_base(
    request: Mapping[str, Any], reference: Mapping[str, Any], context: Mapping[str, Any], ctx: Context
) -> Base | None:
    """The script that a request is about: the one that came with it, that of a run, the one that it points back to, or
    the session's newest. Final (`unknown_run`): the run that it names wrote none."""
    item = reference.get("item")
    if pasted := request.get("script") or reference.get("text"):
        return Base(lines(str(pasted)), item=item)
    if named := request.get("run_id"):
        found = of_run(str(named), item, ctx)
        if found is None:
            raise Final(f"the run {named} has no script", code="unknown_run")
        return found
    scripts = context.get("scripts") or []
    place = (reference.get("run_id"), reference.get("turn"))
    wanted = next((one for one in scripts if (one["run_id"], one["turn"]) == place), None)
    script = wanted or (scripts[-1] if scripts else None)
    if script is None:
        return None
    found = of_run(str(script["run_id"]), item, ctx) if script["run_id"] else None
    return found or Base(lines(of_turn(script, ctx)), script["run_id"], item)


def of_run(run_id: str, item: int | None, ctx: Context) -> Base | None:
    """The script of a run of this tenant; of a batch the one that is meant. None where it has none any more."""
    output = output_of(run_id, ctx)
    if items := output.get("items"):
        at = (item or 1) - 1
        chosen = items[at] if 0 <= at < len(items) else None
        output, item = dict(chosen or {}), None
    parts = [Part(kind=one["kind"], text=one["text"], by=one.get("by", "rules")) for one in output.get("parts") or []]
    return Base(parts, run_id, item, output) if parts else None


def output_of(run_id: str, ctx: Context) -> dict[str, Any]:
    """A run's output, or {}: there is no such run of this tenant, it is not done, or it is gone."""
    if not catalog.there():
        return {}
    try:
        run = runs.get(UUID(ctx.tenant_id), UUID(run_id)).run
        text = run.output if run.output_ref is None else blobs.get(run.output_ref)
        output = json.loads(text) if text else {}
    except (NotFound, ValueError, FileNotFoundError):
        return {}
    return output if isinstance(output, dict) and run.chain.startswith("script") else {}


def of_turn(script: Mapping[str, Any], ctx: Context) -> str:
    """A script's text as the session has it; what the memory kept of it where the turn is gone."""
    if ctx.session_id and script.get("turn"):
        try:
            return str(sessions.turn(ctx.tenant_id, ctx.session_id, int(script["turn"]))["content"])
        except NotFound:
            pass
    return str(script["text"])


def lines(text: str) -> list[Part]:
    """A plain text as parts: one a line, each of the kind that its place and its words suggest."""
    said = [line.strip() for line in text.splitlines() if line.strip()]
    return [Part(kind=kind_of(line, place, len(said)), text=line, by="rules") for place, line in enumerate(said)]


def kind_of(line: str, place: int, count: int) -> str:
    """What a part of a pasted script is for, as far as that can be told."""
    if place == 0:
        return "opening"
    if place == count - 1:
        return "call_to_action"
    return next((kind for kind, words in KINDS if words.search(line)), UNNAMED)
