"""The nodes of the chain `erasure`: a subject's runs are ended and deleted, then its sessions, answers and user.

Each may run again at any time (storage/erasure.py). Their outputs hold nothing: the receipt is the erasure's row.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from uuid import UUID

from node import Context, Json, Output, Retry, node
from policy import audit
from storage import erasure
from storage.erasure import RedisAway, Subject

LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 60.0
ENOUGH_SECONDS = 60.0  # for one more batch of runs before the step's deadline
RETRIES = 50  # Redis or the blob store may be away for a while


@node("privacy.stop_runs", reads=("input",), timeout_seconds=120, retries=RETRIES)
def stop_runs(state: Mapping[str, Json], ctx: Context) -> Output:
    """The subject's runs are told to stop, and waited for."""
    if subject := _subject(state, ctx):
        _stop(subject, ctx)
    return {}


@node("privacy.erase_runs", reads=("input",), timeout_seconds=600, retries=RETRIES)
def erase_runs(state: Mapping[str, Json], ctx: Context) -> Output:
    """Runs go whole: steps, events, effects, blobs, results, and what was said to models in them."""
    if subject := _subject(state, ctx):
        _erase_runs(subject, ctx)
    return {}


@node("privacy.erase_sessions", reads=("input",), retries=RETRIES)
def erase_sessions(state: Mapping[str, Json], ctx: Context) -> Output:
    """Sessions go with their turns and their memory."""
    if subject := _subject(state, ctx):
        erasure.erase_sessions(subject)
    return {}


@node("privacy.erase_answers", reads=("input",), retries=RETRIES)
def erase_answers(state: Mapping[str, Json], ctx: Context) -> Output:
    """Answers that are kept for whoever asks the same go, in Redis and in Postgres."""
    if subject := _subject(state, ctx):
        try:
            erasure.erase_answers(subject)
        except RedisAway as away:
            raise Retry(str(away)) from away
    return {}


@node("privacy.erase_user", reads=("input",), retries=RETRIES)
def erase_user(state: Mapping[str, Json], ctx: Context) -> Output:
    """The user's row, if the subject has one, names nobody any more."""
    if subject := _subject(state, ctx):
        erasure.erase_user(subject)
    return {}


@node("privacy.receipt", reads=("input",), timeout_seconds=600, retries=RETRIES)
def receipt(state: Mapping[str, Json], ctx: Context) -> Output:
    """What came in meanwhile goes too; then the receipt is written, and who it was is forgotten."""
    if subject := _subject(state, ctx):
        if erasure.remains(subject):
            _stop(subject, ctx)
            _erase_runs(subject, ctx)
            erasure.erase_sessions(subject)
        if erasure.remains(subject):
            raise Retry("something of the subject came in again")
        done = audit.entry(
            "system:erasure",
            "erasure.done",
            f"erasure:{subject.erasure_id}",
            after={"subject": subject.hash},
            trace_id=ctx.trace_id,
        )
        erasure.finish(subject, done)
    return {}


def _subject(state: Mapping[str, Json], ctx: Context) -> Subject | None:
    """Whom the erasure is about; None where it is done already."""
    return erasure.subject_of(UUID(ctx.tenant_id), UUID(state["input"]["erasure_id"]))


def _stop(subject: Subject, ctx: Context) -> None:
    erasure.stop_runs(subject)
    until = time.monotonic() + PATIENCE_SECONDS
    while left := erasure.unfinished(subject):
        ctx.check()
        if time.monotonic() > until:
            raise Retry(f"{left} runs of the subject have not ended yet", after_seconds=1)
        time.sleep(LOOK_SECONDS)


def _erase_runs(subject: Subject, ctx: Context) -> None:
    try:
        while erasure.erase_some_runs(subject):
            ctx.check()
            if ctx.seconds_left() < ENOUGH_SECONDS:
                raise Retry("there is more to erase", after_seconds=0)
    except RedisAway as away:
        raise Retry(str(away)) from away
