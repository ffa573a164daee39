"""Runs a computation of tens of milliseconds without holding up the web process's other requests.

Under gevent all requests share one thread, and what computes there stops them all; a real thread does not, as argon2
and RSA release the GIL. At most AT_ONCE run at a time: each takes 19 MiB and a processor.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from errors import TooBusy

T = TypeVar("T")

AT_ONCE = 4
WAIT_SECONDS = 10.0

_room = threading.BoundedSemaphore(AT_ONCE)


def off_loop(compute: Callable[[], T]) -> T:
    """The result of `compute`, which must not touch anything of gevent's. Raises TooBusy after 10 s without a turn."""
    if not _room.acquire(timeout=WAIT_SECONDS):
        raise TooBusy()
    try:
        monkey = sys.modules.get("gevent.monkey")
        if monkey is None or not monkey.is_module_patched("threading"):
            return compute()
        result: T = _threads().apply(compute)
        return result
    finally:
        _room.release()


@cache
def _threads() -> Any:
    """Threads of our own: those of gevent's hub also resolve names, and a name server may let them wait."""
    from gevent.threadpool import ThreadPool

    return ThreadPool(AT_ONCE)
