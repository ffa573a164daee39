"""The intent sets measured: how often the class is right, and how many of the slots, by the rules or by a model.

    from evals.intent import run
    for row in run(): ...        {"set", "lines", "accuracy", "slot_f1", "slot_precision", "slot_recall", "references"}
    run(model="writer-zh")       the same, and a row more for each set, as this backend of the models file reads it

A slot counts with its value: `tone: 活泼` where 专业 was meant is one wrong and one missing. Of a list every element
counts. References are right where script, part and change are.
A model is asked through the gateway as the chain asks it, so the servers of an instance are needed; a line that it does
not answer is read by the rules, as in a run, and `answered` tells how many it did.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast
from uuid import UUID

import yaml
from pydantic import BaseModel

from agents.script.intent.by_model import by_model
from agents.script.intent.reference import Script
from agents.script.intent.understanding import by_rules
from agents.script.words import LANGUAGES, language_of
from gateway.backend import Backend
from gateway.backends.configuration import backends
from gateway.backends.models_file import Configuration
from gateway.host import Alone
from gateway.models import Models
from gateway.request import Caller, Messages
from node import Context, Final, Retry
from settings import SettingsError, settings
from storage import tenants

Reader = Callable[[str, Sequence[Script]], Mapping[str, Any]]
Schema = TypeVar("Schema", bound=BaseModel)

FOLDER = Path(__file__).parent / "intent"
SETS = ("tune", "held_out")
UNSAID = ("length", "wording", "language")  # changes that no slot says; "tone" too, where it is "other"
LEAST = {"accuracy": 0.9, "slot_f1": 0.85, "answered": 0.9}  # of every row that has it
AT_ONCE = 8  # lines that a model is asked at the same time
FAILURES_SHOWN = 5


@dataclass(frozen=True)
class Judged:
    """One line, what was understood, and the slots that are right, wrong and missing."""

    line: Mapping[str, Any]
    seen: Mapping[str, Any]
    right: frozenset[tuple[str, str]]
    wrong: frozenset[tuple[str, str]]
    missing: frozenset[tuple[str, str]]
    class_right: bool
    reference_right: bool


def run(model: str | None = None) -> list[dict[str, Any]]:
    """A row of figures for each set, by the rules and, where one is named, by a model. SettingsError: there is no such
    model, or no instance to ask it through."""
    rows = [figures(name, list(judged(name))) for name in SETS]
    return [*rows, *by_one_model(door_to(model))] if model else rows


def below(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is not good enough, a line each."""
    return [
        f"{row['set']}: {name} {row[name]} is below {least}"
        for row in rows
        for name, least in LEAST.items()
        if name in row and row[name] < least
    ]


def wrong() -> list[str]:
    """What was misread in the set that the rules are made with. Nobody is to look at the other one line by line."""
    return [
        f"{one.line['say']}: {one.seen['intent']}, wrong {sorted(one.wrong)}, missing {sorted(one.missing)}"
        for one in judged("tune")
        if one.wrong or one.missing or not one.class_right
    ]


def lines(name: str) -> list[dict[str, Any]]:
    """The labelled lines of a set."""
    return list(yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))["lines"])


def scripts_after(conversation: str | None) -> list[Script]:
    """The scripts that a conversation of sessions.yaml has given, as `load_context` would hand them over."""
    if conversation is None:
        return []
    turns = yaml.safe_load((FOLDER / "sessions.yaml").read_text(encoding="utf-8"))[conversation]
    said = [next(iter(turn.items())) for turn in turns]
    return [
        Script(turn=at + 1, run_id=None, asked=said[at - 1][1], text=text, items=len(text.splitlines()))
        for at, (role, text) in enumerate(said)
        if role == "assistant"
    ]


def judged(name: str) -> Iterator[Judged]:
    """Each line of a set beside what the rules understood."""
    for line in lines(name):
        yield judge(line)


def read_by_rules(say: str, scripts: Sequence[Script]) -> Mapping[str, Any]:
    """A line as the rules understand it."""
    return by_rules(say, language_of(say), {}, scripts)


def judge(line: Mapping[str, Any], read: Reader = read_by_rules) -> Judged:
    """One line understood and compared with its label."""
    scripts = scripts_after(line.get("after"))
    seen = read(line["say"], scripts)
    meant, found = pairs(line.get("slots") or {}), pairs(seen["said"])
    return Judged(
        line,
        seen,
        right=meant & found,
        wrong=found - meant,
        missing=meant - found,
        class_right=seen["intent"] == line["class"],
        reference_right=reference_seen(seen, scripts) == (line.get("reference") or None),
    )


def pairs(slots: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Every slot with its value, lists element by element."""
    return frozenset(
        (name, str(value).lower())
        for name, values in slots.items()
        for value in (values if isinstance(values, list) else [values])
        if value and value != "general"
    )


def reference_seen(seen: Mapping[str, Any], scripts: list[Script]) -> dict[str, Any] | None:
    """The understood reference in the form of the labels."""
    back = seen["reference"]
    if not back:
        return None
    place = next((at + 1 for at, script in enumerate(scripts) if script.turn == back["turn"]), None)
    change = {name: back["change"][name] for name in UNSAID if name in back["change"]}
    if back["change"].get("tone") == "other":
        change["tone"] = "other"
    return {
        name: value for name, value in (("script", place), ("item", back["item"]), ("change", change)) if value
    } or None


def figures(name: str, all_judged: list[Judged]) -> dict[str, Any]:
    """The figures of one set."""
    right = sum(len(one.right) for one in all_judged)
    wrong = sum(len(one.wrong) for one in all_judged)
    missing = sum(len(one.missing) for one in all_judged)
    pointing = [one for one in all_judged if one.line.get("reference")]
    return {
        "set": f"intent/{name}",
        "lines": len(all_judged),
        "accuracy": round(sum(one.class_right for one in all_judged) / len(all_judged), 4),
        "slot_precision": round(right / max(1, right + wrong), 4),
        "slot_recall": round(right / max(1, right + missing), 4),
        "slot_f1": round(2 * right / max(1, 2 * right + wrong + missing), 4),
        "references": round(sum(one.reference_right for one in pointing) / max(1, len(pointing)), 4),
    }


# -- by a model --------------------------------------------------------------------------------------------------------


class Door(Models):
    """The gateway with one backend behind it, asked whatever the models file says of its strength and its languages:
    who measures a model wants to know. `failures` counts why it gave no answer."""

    def __init__(self, backend: Backend, tenant_id: UUID) -> None:
        alone = Configuration((replace(backend, weak=False, languages=LANGUAGES),))
        super().__init__(lambda: alone, Caller(tenant_id, agent_id="evals"), Alone())
        self.name = backend.name
        self.failures: Counter[str] = Counter()

    def structured(
        self, schema: type[Schema], messages: Messages, *, model: Backend | None = None, **wishes: Any
    ) -> Schema:
        """As `Models.structured`; why there is no answer is counted, for the reader of a request is silent of it."""
        try:
            return super().structured(schema, messages, model=model, **wishes)
        except (Retry, Final, ValueError) as failure:
            self.failures[str(failure)] += 1
            raise


def door_to(name: str) -> Door:
    """The door to a backend of the models file, for calls of the tenant `default`. SettingsError as `run` has it."""
    if not settings().database_app_url:
        raise SettingsError("a model is asked through the gateway of an instance: start one, `manage.py up`")
    known = {backend.name: backend for backend in backends()}
    if name not in known:
        raise SettingsError(f"there is no backend {name!r}; there are: {', '.join(known) or 'none'}")
    tenant_id = tenants.find_tenant(tenants.DEFAULT_TENANT)
    if tenant_id is None:
        raise SettingsError("the instance has no tenant `default`: start it once, `manage.py up`")
    return Door(known[name], tenant_id)


def by_one_model(door: Door) -> list[dict[str, Any]]:
    """A row of figures for each set as one model reads it; why it did not answer is told on standard error."""
    rows = []
    for which in SETS:
        seen = judged_by(door, which)
        answered = sum(one.seen["source"] == "model" for one in seen) / len(seen)
        rows.append({**figures(which, seen), "set": f"intent/{which} by {door.name}", "answered": round(answered, 4)})
    for why, times in door.failures.most_common(FAILURES_SHOWN):
        print(f"{times} times: {why}", file=sys.stderr)
    return rows


def judged_by(door: Door, name: str) -> list[Judged]:
    """Each line of a set beside what a model understood."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda line: judge(line, reader(door)), lines(name)))


def reader(door: Door) -> Reader:
    """Reads a line as the chain does: by the model behind the door, and by the rules where it gives no answer."""
    ctx = cast(Context, SimpleNamespace(models=door))  # reading asks for nothing else of it

    def read(say: str, scripts: Sequence[Script]) -> Mapping[str, Any]:
        language = language_of(say)
        return by_model(say, language, {}, scripts, ctx) or by_rules(say, language, {}, scripts)

    return read
