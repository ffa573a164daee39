"""From start to stop of a worker process: the keeper begins before the first message and ends after the last node.

In a pool of threads the process itself is the worker. In prefork each child is one (row, keeper, connections of its
own, because neither threads nor connections survive a fork) and the main process only looks after a stop.

SIGTERM: nothing new is claimed, running nodes have `drain_seconds` to end, then their leases are given back and the
process ends. Nobody waits for a lease to run out.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

import structlog
from billiard import active_children
from celery import signals

import telemetry
from agents.script.quality.shelf import read_ahead
from chains import send
from chains.lose import lose
from policy.pii.mask import masked_value
from settings import settings
from storage import broker, postgres, workers
from storage.postgres import Unavailable, dedicated
from tasks import worker
from tasks.pulse import Pulse
from tasks.sweep import Sweep

log = structlog.get_logger()

_keeper: tuple[Pulse, Sweep] | None = None
_node_name = ""
_forks = False


@signals.setup_logging.connect
def _logging(**_: Any) -> None:
    telemetry.setup(
        "beat" if "beat" in sys.argv else "worker",
        level=settings().log_level,
        log_format=settings().log_format,
        mask=masked_value,
    )


@signals.celeryd_after_setup.connect
def _starting(sender: str, instance: Any, **_: Any) -> None:
    global _node_name, _forks
    _node_name = sender
    _forks = getattr(instance.pool_cls, "__module__", "").endswith("prefork")
    os.nice(settings().worker_nice)  # a request that waits behind a full pool of nodes would wait for all of them
    if not _forks:
        _begin(sender)


@signals.worker_ready.connect
def _freeze(**_: Any) -> None:
    """What was imported stays for ever: the garbage collector need not look at it again."""
    gc.collect()
    gc.freeze()


@signals.worker_process_init.connect
def _forked(**_: Any) -> None:
    postgres.forget_connections()
    broker.client.cache_clear()
    send.producer.cache_clear()
    _begin(f"{_node_name}/{os.getpid()}")
    _freeze()


@signals.worker_process_shutdown.connect
def _child_ends(**_: Any) -> None:
    _finish()


@signals.worker_shutting_down.connect
def _stopping(**_: Any) -> None:
    """Runs in the main process, in a signal handler: only flags and a thread."""
    if not _forks:
        worker.this().draining.set()
    threading.Thread(target=_see_the_stop_through, name="drain", daemon=True).start()


@signals.worker_shutdown.connect
def _stopped(**_: Any) -> None:
    _finish()
    telemetry.flush()


def _begin(name: str) -> None:
    global _keeper
    me = worker.begin(name)
    pulse, sweep = Pulse(me), Sweep(me)
    pulse.begin()
    sweep.start()
    _keeper = (pulse, sweep)
    read_ahead()
    log.info("worker_started", worker=name, worker_id=str(me.id), host=socket.gethostname())


def _finish() -> None:
    global _keeper
    if _keeper is not None:
        pulse, sweep = _keeper
        _keeper = None
        sweep.finish()
        pulse.finish()


def _see_the_stop_through() -> None:
    """Celery ends by itself when the nodes have; if they have not in time, their leases go back and we end at once."""
    until = time.monotonic() + settings().drain_seconds
    while time.monotonic() < until:
        time.sleep(0.1)
        if not _forks and not worker.this().running and _all_quiet():
            break
    else:
        _give_leases_back()
        telemetry.flush()
        _end_at_once()
    # The nodes have ended; Celery gets a moment to close its connections, unless a frozen broker holds it.
    time.sleep(5)
    _finish()
    _end_at_once()


def _all_quiet() -> bool:
    """Whether it stays quiet: a message taken just before the stop may begin to run a moment after."""
    time.sleep(0.2)
    return not worker.this().running


def _give_leases_back() -> None:
    try:
        db = dedicated("keeper")
        mine = workers.named(db, _node_name)
        for held in workers.leases_of(db, mine):
            lose(held)
        db.do("forget_dead_workers", mine)
        db.close()
    except Unavailable as away:
        log.warning("leases_not_given_back", error=repr(away))


def _end_at_once() -> None:
    """End without asking anyone: threads and children that still run are zombies, and their leases are gone."""
    for child in active_children():
        os.kill(child.pid, signal.SIGKILL)
    os._exit(0)
