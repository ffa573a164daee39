"""How a script run looks in a terminal: a live view of rich, or plain lines where the output is no terminal."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

DOING = {
    "script.load_context": "reading the session",
    "script.recognize_intent": "understanding the request",
    "script.clarify": "looking for what is missing",
    "script.find_script": "finding the script that is meant",
    "script.fetch_profile": "fetching the creator",
    "script.fetch_product": "fetching the product",
    "script.write": "writing",
    "script.modify": "changing",
    "script.continue": "writing one more",
    "script.answer": "answering",
    "script.batch_items": "listing the products",
    "script.batch_item": "writing for a product",
    "script.check_quality": "checking",
    "script.rewrite": "mending",
}
SLOTS = ("category_label", "product", "scene", "tone", "occasion", "audience", "platform", "length_seconds")
REFRESHES_A_SECOND = 8
SHOWN_FINDINGS = 10


@dataclass(frozen=True)
class Told:
    """What is told of a finished run."""

    status: str
    output: dict[str, Any] = field(default_factory=dict)
    degraded: str | None = None
    error: dict[str, Any] | None = None
    pause: dict[str, Any] | None = None

    @staticmethod
    def of(run: dict[str, Any]) -> Told:
        """The same of a run as the API shows it."""
        known = (run.get(name) for name in ("degraded_reason", "error", "pause"))
        return Told(run["status"], run.get("output") or {}, *known)


class Viewer:
    """Shows events as they come. As a context manager it owns the live view between two questions."""

    def __init__(self, *, live: bool, quiet: bool = False) -> None:
        self.live = live
        self.quiet = quiet
        self.console = Console(highlight=False)
        self.notes: list[str] = []
        self.text: dict[str, str] = {}
        self.doing = ""
        self._view: Live | None = None

    def __enter__(self) -> Viewer:
        if self.live:
            self._view = Live(self.drawn(), console=self.console, refresh_per_second=REFRESHES_A_SECOND, transient=True)
            self._view.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._view is not None:
            self._view.__exit__(kind, error, trace)
            self._view = None

    def may_ask(self) -> bool:
        """Whether somebody sits at a keyboard."""
        return self.live and sys.stdin.isatty()

    def show(self, event: dict[str, Any]) -> None:
        """One event or token."""
        if self.quiet:
            return
        step, data = event.get("step") or "", event.get("data") or {}
        if event["type"] == "token":
            self.text[step] = ("" if data.get("restart") else self.text.get(step, "")) + str(data.get("text", ""))
        elif event["type"] == "step_started":
            self.doing = DOING.get(str(event.get("node")), "")
        elif (note := noted(event["type"], data)) is not None:
            self.note(note)
        if self._view is not None:
            self._view.update(self.drawn())

    def note(self, line: str) -> None:
        """A line that stays."""
        self.notes.append(line)
        if not self.live:
            click.echo(line)

    def drawn(self) -> RenderableType:
        """The live view: what is known, and the text that grows."""
        parts: list[RenderableType] = [Text(line) for line in self.notes]
        if self.text:
            parts.append(Panel(Text("\n".join(text.strip() for text in self.text.values())), title=self.doing))
        elif self.doing:
            parts.append(Text(f"{self.doing} ...", style="dim"))
        return Group(*parts)

    def question(self, asked: dict[str, Any]) -> str:
        """What is asked, with its choices, as a prompt."""
        return "\n".join([*question(asked), ">"])

    def end(self, told: Told) -> None:
        """The result."""
        if self.quiet:
            return
        if self.live:
            for line in self.notes:
                self.console.print(Text(line, style="dim"))
        for line in result(told):
            click.echo(line)

    def json(self, run: dict[str, Any]) -> None:
        """The run's output alone, for a program."""
        click.echo(json.dumps(run.get("output") or run.get("error"), indent=2, ensure_ascii=False))


def noted(type: str, data: dict[str, Any]) -> str | None:
    """An event as a line, or None where nobody needs to see it."""
    match type:
        case "intent_recognized":
            slots = data.get("slots") or {}
            said = ", ".join(f"{name}={slots[name]}" for name in SLOTS if slots.get(name))
            return f"intent    {data.get('intent')} ({data.get('source')}): {said}"
        case "script_found":
            return f"script    {data.get('parts')} parts, of run {data.get('run_id') or '- (given)'}"
        case "profile_fetched":
            return f"creator   {data.get('name') or '-'}{'' if data.get('known') else ' (not known)'}"
        case "product_fetched":
            return f"product   {data.get('name') or '-'}{'' if data.get('known') else ' (not known)'}"
        case "quality_checked":
            return f"checked   passed={data.get('passed')} findings={data.get('findings')}"
        case "script_rewritten":
            return f"rewritten round {data.get('round')}, {data.get('changes')} changes"
        case "batch_started":
            return f"batch     {data.get('count')} products"
        case "item_done":
            why = (data.get("error") or {}).get("message")
            return f"item {data['index'] + 1:>4} {data.get('product')}: {why or 'written'}"
        case _:
            return None


def question(asked: dict[str, Any]) -> list[str]:
    """What is asked, and its choices by number."""
    choices = [f"  {number}. {one['text']}" for number, one in enumerate(asked.get("choices") or [], 1)]
    return [str(asked.get("question")), *choices]


def result(told: Told) -> list[str]:
    """A finished run in lines: the script, what changed, what was found, and how it went."""
    output, lines = told.output, [""]
    if output.get("script"):
        lines += [str(output["script"]), ""]
        lines.append("{seconds} s, tone {tone}, by {writer}, {rewrites} rewrites".format_map(output))
        lines += found(output.get("quality") or {})
    if told.status == "paused" and told.pause:
        lines += question(told.pause)
    lines += [str(output[name]) for name in ("answer", "message") if output.get(name) and "items" not in output]
    for one in output.get("diff") or []:
        lines += [f"[{one['kind']}]", f"  - {one['before'] or ''}", f"  + {one['after'] or ''}"]
    if "items" in output:
        lines.append(f"{output['written']} scripts, {output['failed']} failed")
    if told.degraded:
        lines.append(f"degraded: {told.degraded}")
    if told.error:
        lines.append(f"error: {told.error.get('code')}: {told.error.get('message')}")
    lines.append(f"status: {told.status}")
    return lines


def found(quality: dict[str, Any]) -> list[str]:
    """The verdict, and the first of the open findings."""
    findings = quality.get("findings") or []
    lines = [f"quality: {'passed' if quality.get('passed') else 'open findings'}, score {quality.get('score')}"]
    for one in findings[:SHOWN_FINDINGS]:
        lines.append(f"  {one['severity']} {one['rule']}: {one['text']} ({one['message']})")
    return lines
