"""The probe: the self-test's one node. It sleeps, carries, fails and has an effect, as the run's input says."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Mapping

import httpx

from node import Context, Final, Json, NotHappened, Output, Retry, node
from settings import settings

EFFECT_TIMEOUT_SECONDS = 10.0
_SLICE_SECONDS = 0.1


@node("probe.work", reads=("input",), timeout_seconds=120)
def work(state: Mapping[str, Json], ctx: Context) -> Output:
    """Do what the probe's input asks of every node."""
    asked = state["input"]
    _sleep(asked.get("sleep_ms", 0) / 1000, ctx)
    _fail(asked.get("fail", {}).get(ctx.step), ctx)
    kind = asked.get("effect", "none")
    if kind != "none":
        ctx.effect("probe", kind, {"run_id": ctx.run_id, "step": ctx.step}, lambda key: _post(key, ctx))
    size = asked.get("payload_bytes", 0)
    return {"payload": _noise(size)} if size else {}


def _sleep(seconds: float, ctx: Context) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        ctx.check()
        time.sleep(min(left, _SLICE_SECONDS))


def _fail(attempts: int | None, ctx: Context) -> None:
    """Fail in the first so many attempts; -1: until the run is resumed, which gives a new budget of failures."""
    if attempts is not None and (ctx.attempt <= attempts or (attempts == -1 and not ctx.resumes)):
        raise Retry(f"step {ctx.step} was asked to fail (attempt {ctx.attempt})")


def _noise(size: int) -> str:
    """Incompressible text of so many characters (base64 is made in C; base85 takes 40 ms a megabyte)."""
    return base64.b64encode(os.urandom(size * 3 // 4 + 3)).decode()[:size]


def _post(key: str, ctx: Context) -> Json:
    url = settings().probe_effect_url
    if not url:
        return {"posted": False}
    try:
        answer = httpx.post(
            url,
            json={"run_id": ctx.run_id, "step": ctx.step},
            headers={"Idempotency-Key": key},
            timeout=EFFECT_TIMEOUT_SECONDS,
        )
    except httpx.ConnectError as refused:
        raise NotHappened(f"{type(refused).__name__}: {refused}") from refused
    if answer.status_code >= 500 or answer.status_code == 429:
        raise Retry(f"the effect was answered with {answer.status_code}")
    if answer.status_code >= 400:
        raise Final(f"the effect was refused with {answer.status_code}", code="effect_refused")
    return {"posted": True, "status": answer.status_code}
