"""The nodes of a batch: `script.batch_items` says for which products, `script.batch_item` writes one script, and
`script.batch_summary` tells what became of them.

An item is one step: it fetches its product, writes, checks and mends, and its commit brings the event `item_done`. What
fails for good in it becomes its output, `{"error": {...}}`, so that it fails no other item.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from agents.script.check_quality import check_quality
from agents.script.data import load
from agents.script.fetch_product import fetch_product
from agents.script.intent.rules import read
from agents.script.intent.understanding import category_in, category_label
from agents.script.questions import ALL_THERE_IS
from agents.script.rewrite import rewrite
from agents.script.words import language_of
from agents.script.writer import write
from node import Context, Final, Node, Pause, Stopped, node
from storage import catalog
from storage.postgres import unavailable

MOST = 200
REMEMBERED = 20  # scripts that the session keeps of a batch, so that 「第二条」 can be told apart
ROUNDS = 2
RETRIES = 3
MAX_ERROR_CHARACTERS = 500
SHOWN_OF_A_REASON = 120  # characters
LEAST_SECONDS = 20.0  # with less than this left nothing is written: past its deadline a step is lost, and not failed
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@node("script.batch_items", reads=("input", "load_context", "recognize_intent", "clarify"), timeout_seconds=30)
def batch_items(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"count", "items": [id, name or object]}: those of the input, those that the request names, or all there are.

    Final (`no_products`): there is none.
    """
    asked = state.get("clarify") or state["recognize_intent"]
    items = list(state["input"].get("products") or asked["slots"].get("products") or [])
    if not items and (asked["slots"].get("catalogue") or ALL_THERE_IS.search(state["load_context"]["query"])):
        items = in_catalogue(ctx)
    if not items:
        raise Final("there is no product to write for", code="no_products")
    if len(items) > MOST:
        ctx.degrade(f"the first {MOST} of {len(items)} products were written for")
        items = items[:MOST]
    ctx.emit("batch_started", count=len(items))
    return {"count": len(items), "items": items}


def in_catalogue(ctx: Context) -> list[str]:
    """The ids of this tenant's products, the newest first, one more than a batch takes."""
    if not catalog.there():
        return []
    page = catalog.page(UUID(ctx.tenant_id), catalog.PRODUCTS, limit=MOST + 1)
    return [str(row["id"]) for row in page["items"]]


@node(
    "script.batch_item",
    reads=("input", "load_context", "recognize_intent", "clarify", "fetch_profile", "batch_items"),
    timeout_seconds=300,
    retries=RETRIES,
)
def batch_item(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"index", "product", "script", "parts", "seconds", "writer", "quality", "slots", ...}, or {"index", "product",
    "error": {"code", "message"}} for what cannot be written."""
    index = ctx.index or 0
    wanted = state["batch_items"]["items"][index]
    try:
        done = written_for(wanted, state, ctx)
    except (Stopped, Pause):
        raise
    except Exception as failure:
        if unavailable(failure) or not (isinstance(failure, Final) or spent(ctx)):
            raise  # storage that is away is nobody's failure, and what may pass is tried again
        code = failure.code if isinstance(failure, Final) else "node_failed"
        done = {"error": {"code": code, "message": (str(failure) or type(failure).__name__)[:MAX_ERROR_CHARACTERS]}}
    told = {"index": index, "product": done.pop("product", None) or name_of(wanted)}
    ctx.emit("item_done", **told, **({"error": done["error"]} if "error" in done else {"script": done["script"]}))
    return {**told, **done}


def spent(ctx: Context) -> bool:
    """Count a failure of this item; whether it has had all its retries.

    Kept in the ledger, because the number of an attempt counts workers that died as well, and goes on after a resume.
    """
    for no in range(RETRIES):
        noted = ctx.effect(f"failure/{ctx.resumes}/{no}", "idempotent", {}, lambda key: {"attempt": ctx.attempt})
        if noted["attempt"] == ctx.attempt:
            return False
    return True


def written_for(wanted: Any, state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """The script for one product: the steps of the chain, one after the other."""
    now = state_for(wanted, state)
    now["fetch_product"] = run(fetch_product, now, ctx)
    about = now["fetch_product"]["name"] or name_of(wanted)
    query = str(state["load_context"]["query"])
    only = {"zh": f"（这一段只写：{about}）", "en": f" (this one is about {about} only)"}[language_of(query)]
    now["load_context"] = {**now["load_context"], "query": query + only}
    if ctx.seconds_left() < LEAST_SECONDS:
        raise Final(f"less than {LEAST_SECONDS:.0f} s were left to write it in", code="out_of_time")
    now["write"] = run(write, now, ctx)
    now["check_quality"] = run(check_quality, now, ctx)
    for _ in range(ROUNDS):
        if now["check_quality"]["passed"] or ctx.seconds_left() < LEAST_SECONDS:
            break
        ctx.check()
        now["rewrite"] = run(rewrite, now, ctx)
        now["check_quality"] = run(check_quality, now, ctx)
    draft = now.get("rewrite") or now["write"]
    source = {"creator": state["fetch_profile"], "product": now["fetch_product"]}
    return {
        "product": about,
        **{name: draft[name] for name in ("script", "parts", "seconds", "writer", "language", "tone", "scene")},
        "quality": now["check_quality"],
        "slots": now["recognize_intent"]["slots"],
        "sources": {name: {"name": one.get("name"), "known": bool(one.get("known"))} for name, one in source.items()},
    }


def run(step: Node, state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """One node's output, within this step."""
    return cast(dict[str, Any], step(state, ctx))


def state_for(wanted: Any, state: Mapping[str, Any]) -> dict[str, Any]:
    """What the nodes read for one product: the batch's request, as if it had asked for this product alone."""
    asked = state.get("clarify") or state["recognize_intent"]
    named = isinstance(wanted, str) and bool(ID.fullmatch(wanted.strip()))
    product = None if named else wanted
    context = dict(state["load_context"])
    own = {"product": product, **(category_for(wanted, state, asked) if product is not None else {})}
    said = {**{name: value for name, value in asked["said"].items() if name != "category"}, "product": product}
    slots = {**asked["slots"], **own, "products": []}
    understood = {**asked, "intent": "generate", "said": said, "slots": slots}
    others = ("products", "product", "product_id")
    request = {name: value for name, value in state["input"].items() if name not in others}
    context["wishes"] = {name: value for name, value in context["wishes"].items() if name not in others}
    # What is fetched is the product of this item: the words of the request may name all of them.
    context["query"] = name_of(wanted) if product is not None else ""
    return {
        "input": {**request, **({"product_id": wanted.strip()} if named else {})},
        "load_context": context,
        "recognize_intent": understood,
        "fetch_profile": state["fetch_profile"],
    }


def category_for(wanted: Any, state: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """{"category", "category_label"} of one product: what its name says, what the request says of all, or the session.

    The category of the understanding may be that of the first product that is named.
    """
    name, wished = name_of(wanted), state["load_context"]["wishes"].get("category")
    of_all = str(state["load_context"]["query"])
    for other in map(name_of, state["batch_items"]["items"]):
        of_all = of_all.replace(other, " ") if other else of_all
    code = (
        read(name, language_of(name)).said.get("category")
        or category_in(of_all, language_of(of_all))
        or category_in(str(wished or ""), None)
    )
    return {
        "category": code or "general",
        "category_label": category_label(code, wished or name, asked["language"]),
    }


def name_of(wanted: Any) -> str:
    """What a product is called in messages: its name, or the id that was given."""
    return str(wanted.get("name") or "") if isinstance(wanted, Mapping) else str(wanted)


@node("script.batch_summary", reads=("load_context", "batch_items", "item"), timeout_seconds=60)
def batch_summary(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"text": the first scripts, one a line, "written", "failed"}: what the session remembers of the batch.

    One line is one script, so that a later 「第二条短一点」 means the second product. Failed items mark the run as
    degraded.
    """
    items: Sequence[Mapping[str, Any]] = [one for one in state["item"] or [] if one]
    failed = [one for one in items if one.get("error")]
    if failed:
        ctx.degrade(f"{len(failed)} of {len(items)} products have no script: {reasons(failed)}")
    lines = [" ".join(one["script"].split()) if "script" in one else missing(one, state) for one in items[:REMEMBERED]]
    return {"text": "\n".join(lines), "written": len(items) - len(failed), "failed": len(failed)}


def reasons(failed: Sequence[Mapping[str, Any]]) -> str:
    """Why items failed: how many of each kind, the most frequent first, with what the first of each was told."""
    first: dict[str, str] = {}
    for one in failed:
        first.setdefault(one["error"]["code"], one["error"]["message"])
    counts = Counter(one["error"]["code"] for one in failed)
    return "; ".join(f"{times} {code} ({first[code][:SHOWN_OF_A_REASON]})" for code, times in counts.most_common())


def missing(item: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """The line of a product that has no script, so that the others keep their numbers."""
    words = load("answers")[language_of(state["load_context"]["query"])]
    return str(words["batch_failed"]).format(product=item["product"])
