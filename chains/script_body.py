"""What the script skills share: pieces of their bodies, and the output that all of them have.

What is read of the nodes (agents/script/):

    recognize_intent, clarify -> {"intent": str, "goes_on": bool, "language", "slots", "message", ...}
    find_script (as clarify)  -> the same with "base": {"parts": [{"kind", "text"}], "run_id"}
    fetch_profile, fetch_product -> {"name": str|None, "known": bool, ...}
    write, rewrite            -> {"script": str, "parts": [...], "writer": "model"|"rules", ...}
    check_quality             -> {"passed": bool, "findings": [...], "score": float}

A node that falls short says so by `ctx.degrade(reason)`: the writing ones when the rules had to write instead of a
model, `remember_turn` when the last check still did not pass. The run then completes as degraded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

from chains.definition import FactsView, Json, Part, Results, each, parallel, repeat, sequence, step

UNDERSTOOD = ("intent", "goes_on")


def under(label: str, *parts: Part) -> Part:
    """The parts under a label of their own, so that two ways of a branch may each have a step of one name.

    A round of a repeat is what the engine has for that: `modify#1/write` and `write` are two keys and one name.
    """
    return repeat(label, *parts, until=lambda facts: False, at_most=1)


def passed(facts: FactsView) -> bool:
    """Whether the newest script passed its check."""
    return bool(facts["check_quality"]["passed"])


def count(facts: FactsView) -> int:
    """How many items a batch has."""
    return int(facts["batch_items"]["count"])


CONTEXT = step("script.load_context", quick=True)
AS_ASKED = step("script.take_skill", key="recognize_intent", facts=("intent",), quick=True)
FOUND = under("base", step("script.find_script", key="clarify", facts=UNDERSTOOD, quick=True))
FETCHED = parallel(step("script.fetch_profile", quick=True), step("script.fetch_product", quick=True))
CHECKED = sequence(
    step("script.check_quality", facts=("passed",), quick=True),
    repeat(
        "improve",
        step("script.rewrite"),
        step("script.check_quality", facts=("passed",), quick=True),
        until=passed,
        at_most=2,
    ),
)
REMEMBERED = step("script.remember_turn", quick=True)
MANY = sequence(
    step("script.fetch_profile", quick=True),
    step("script.batch_items", facts=("count",), quick=True),
    each("item", step("script.batch_item"), over=count),
    step("script.batch_summary", key="answer", quick=True),
)


def changing(node: str) -> Part:
    """The body of a skill that makes a script out of one that is there."""
    return sequence(CONTEXT, AS_ASKED, FOUND, FETCHED, step(node, key="write"), CHECKED, REMEMBERED)


def output(results: Results) -> Json:
    """The script that stands at the end, with what it rests on; without one, the answer or the friendly word."""
    written = results.output("rewrite") or results.output("write") or {}
    recognized = results.output("recognize_intent") or {}
    understood = results.output("clarify") or recognized
    base = understood.get("base")
    return {
        "script": written.get("script"),
        "parts": written.get("parts", []),
        "seconds": written.get("seconds"),
        "writer": written.get("writer"),
        "language": understood.get("language"),
        "intent": understood.get("intent"),
        "slots": understood.get("slots"),
        "tone": written.get("tone"),
        "scene": written.get("scene"),
        "quality": results.output("check_quality"),
        "rewrites": sum(one.node == "script.rewrite" for one in results.steps),
        "sources": {"creator": _source(results, "fetch_profile"), "product": _source(results, "fetch_product")},
        "base_run_id": base.get("run_id") if base else None,
        "diff": diff(base["parts"], written.get("parts", [])) if base and written else None,
        "answer": (results.output("answer") or {}).get("text"),
        "message": understood.get("message"),
        **batched(results),
    }


def batched(results: Results) -> Json:
    """The scripts of a batch in the order of its products, and how many there are; nothing where it was none."""
    items = results.output("item")
    if items is None and results.output("batch_items") is None:
        return {}
    items = items or []
    failed = sum(1 for one in items if one is None or one.get("error"))
    return {"items": items, "written": len(items) - failed, "failed": failed}


def diff(before: Sequence[Mapping[str, Json]], after: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """What is different, part by part: {"kind", "before", "after"}; None where a part was not there before, or is gone.

    Parts are matched by their texts first, and what is left between two equal ones by place.
    """
    found: list[dict[str, Json]] = []
    old_texts, new_texts = ([str(part["text"]) for part in parts] for parts in (before, after))
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old_texts, new_texts, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        for at in range(max(i2 - i1, j2 - j1)):
            old = before[i1 + at] if i1 + at < i2 else None
            new = after[j1 + at] if j1 + at < j2 else None
            found.append(
                {"kind": (new or old or {})["kind"], "before": old and old["text"], "after": new and new["text"]}
            )
    return found


def _source(results: Results, name: str) -> Json:
    found = results.output(name) or {}
    return {"name": found.get("name"), "known": bool(found.get("known"))}
