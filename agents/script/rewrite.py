"""Node `script.rewrite`: mend what the quality check found.

First round: an able model writes again, told what is wrong; else each sentence at fault gives way to the rewrite that
the check found for it, and goes where there is none. Second round: a model's text that still fails gives way to the
rule-level writer, and the run says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.script.brief import SOURCES, Brief, brief_from
from agents.script.check_quality import newest_draft
from agents.script.model_writer import rewrite_by_model
from agents.script.quality.finding import Finding
from agents.script.quality.sentences import sentences
from agents.script.rule_writer import Part, joined
from agents.script.writer import by_rules, written
from node import Context, Final, Retry, node

WHOLE_TEXT = {"length", "subject", "language"}  # findings that no single sentence causes; those of a kind of goods too


@node("script.rewrite", reads=(*SOURCES, "write", "rewrite", "check_quality"), timeout_seconds=120)
def rewrite(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """What `script.write` returns, with {"round": 1|2, "changes": [{"rule", "before", "after"}]}."""
    brief, draft = brief_from(state), newest_draft(state)
    findings = [finding for finding in state["check_quality"]["findings"] if finding["severity"] == "error"]
    this_round = int(draft.get("round", 0)) + 1
    # Of a script that the user has already, only the sentences with findings change: nobody asked for the others.
    anew = brief.intent != "modify"
    again = again_by_model(brief, ctx, draft, findings) if anew and this_round == 1 else None
    rules_may = anew and draft["writer"] == "model" and ctx.models.may_fall_back
    if again is None and rules_may and gives_up(this_round, findings):
        rules = ", ".join(sorted({finding["rule"] for finding in findings}))
        taken_over = by_rules(brief, ctx, f"the model's text failed the quality check ({rules}): rule-level writer")
        ctx.emit("script_rewritten", round=this_round, changes=0, writer="rules")
        return {**taken_over, "round": this_round, "changes": []}
    parts, changes = (again, []) if again else mend(draft["parts"], findings)
    ctx.emit("script_rewritten", round=this_round, changes=len(changes), writer=draft["writer"])
    return {
        **written(brief, parts, writer=draft["writer"], model=draft["model"]),
        "round": this_round,
        "changes": changes,
    }


def again_by_model(
    brief: Brief, ctx: Context, draft: Mapping[str, Any], findings: Sequence[Finding]
) -> list[Part] | None:
    """A model's script written again by an able model, or None: by rules, by a weak model, or the model failed."""
    model = ctx.models.able(brief.language) if draft["writer"] == "model" else None
    if model is None or model.weak:
        return None
    try:
        return rewrite_by_model(brief, model, ctx, draft["script"], findings)
    except (Retry, Final):
        return None


def gives_up(this_round: int, findings: Sequence[Finding]) -> bool:
    """Whether mending sentences is of no use: it was tried, or a finding concerns the whole text."""
    return this_round > 1 or any(finding["rule"] in WHOLE_TEXT for finding in findings)


def mend(parts: Sequence[Part], findings: Sequence[Finding]) -> tuple[list[Part], list[dict[str, Any]]]:
    """The parts with every sentence at fault rewritten, or dropped, and the list of what changed."""
    mended: list[Part] = []
    changes: list[dict[str, Any]] = []
    said: set[str] = set()
    start, whole = 0, len(joined(parts))
    of_sentences = [finding for finding in findings if not concerns_all(finding, whole)]
    for part in parts:
        end = start + len(part["text"])
        inside = [f for f in of_sentences if start <= f["start"] < end]
        text = mend_text(part["text"], start, inside, said, changes)
        if text.strip():
            mended.append(Part(kind=part["kind"], text=text.strip(), by=part["by"]))
        start = end + 1  # the line break between parts
    return mended, changes


def concerns_all(finding: Finding, length: int) -> bool:
    """Whether no sentence of a script of so many characters can mend a finding, such as what the law wants said."""
    covers_all = finding["end"] - finding["start"] >= length and finding.get("rewrite") is None
    return finding["rule"] in WHOLE_TEXT or covers_all


def mend_text(
    text: str, offset: int, findings: Sequence[Finding], said: set[str], changes: list[dict[str, Any]]
) -> str:
    """One part's text, sentence by sentence. offset: where the part starts in the script; said: what was said in place
    of other sentences, for two of them may have the same rewrite and nothing is to be said twice."""
    kept, done = "", 0
    for start, end in sentences(text, [(f["start"] - offset, f["end"] - offset) for f in findings]):
        before, kept, done = text[start:end], kept + text[done:start], end
        inside = [f for f in findings if start <= f["start"] - offset < end]
        after = said_instead(inside, said) if inside else before
        if inside:
            rules = ", ".join(sorted({f["rule"] for f in inside}))
            changes.append({"rule": rules, "before": before.strip(), "after": after.strip()})
        kept += after
    return kept + text[done:]


def said_instead(findings: Sequence[Finding], said: set[str]) -> str:
    """What is said in the place of a sentence: its rewrite, or nothing where it has none or that was said already."""
    rewrites = [finding.get("rewrite") or "" for finding in findings]
    after = "" if "" in rewrites else rewrites[0]
    if after.strip() in said:
        return ""
    said.add(after.strip())
    return after
