"""Health: is the process alive, is the installation ready for requests, and how are its parts.

Every look at a server runs in a thread of its own and is waited for a second at most, so that health answers while
servers are dead or frozen; a look that hangs is not started twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Response

from app import version
from app.api import blueprint
from app.operation import operation
from app.problems import Unavailable
from app.schemas.service import Alive, Health
from gateway.backends.configuration import rejected
from policy.permissions import PUBLIC
from settings import settings
from storage import outages
from storage.reads import readiness

api = blueprint("health", __name__)

PATIENCE_SECONDS = 1.0
FRESH_SECONDS = 0.5


class Look:
    """The newest finding about one server, found anew when it is older than FRESH_SECONDS."""

    def __init__(self, look: Callable[[], Any]) -> None:
        self._look = look
        self._running: threading.Thread | None = None
        self._finding: tuple[Any, str | None] = (None, None)
        self._found_at = float("-inf")

    def start(self) -> None:
        """Look, unless the last finding is fresh or a look is under way."""
        stale = time.monotonic() - self._found_at > FRESH_SECONDS
        if stale and (self._running is None or not self._running.is_alive()):
            self._running = threading.Thread(target=self._run, daemon=True)
            self._running.start()

    def finding(self, until: float) -> tuple[Any, str | None]:
        """(what the look returned, None), or (None, what is wrong); waits for it until that monotonic time."""
        if self._running is not None:
            self._running.join(max(0.0, until - time.monotonic()))
            if self._running.is_alive():
                return None, "does not answer"
        return self._finding

    def _run(self) -> None:
        try:
            finding: tuple[Any, str | None] = (self._look(), None)
        except Exception as wrong:
            finding = (None, outages.first_line(wrong))
        self._finding, self._found_at = finding, time.monotonic()


postgres = Look(readiness.look_at_postgres)
redis = Look(readiness.look_at_redis)


@operation(api, "GET", "/health", "How the installation is", needs=PUBLIC, answers={200: Health})
def health() -> dict[str, Any]:
    """`degraded`: runs go on or wait, but slower or not at all now; `down`: without Postgres nothing is accepted."""
    postgres.start()
    redis.start()
    until = time.monotonic() + PATIENCE_SECONDS
    workers, postgres_wrong = postgres.finding(until)
    _, redis_wrong = redis.finding(until)
    checks = {
        "postgres": _check(postgres_wrong, "down"),
        "redis": _check(redis_wrong, "degraded"),
        "workers": {"status": "ok" if workers else "degraded", "detail": f"{workers or 0} alive"},
        "models": _check(rejected(), "degraded"),
        "rate_limits": _rate_limits(redis_wrong),
        # What the documents call locks and checkpoints stands in Postgres.
        "checkpoints": _check(postgres_wrong, "down"),
        "session_locks": _check(postgres_wrong, "down"),
    }
    told = {check["status"] for check in checks.values()}
    status = "down" if "down" in told else "degraded" if "degraded" in told else "ok"
    return {"status": status, "version": version(), "checks": checks}


@operation(api, "GET", "/health/live", "Is the process alive", needs=PUBLIC, answers={200: Alive})
def live() -> dict[str, str]:
    """Looks at nothing else."""
    return {"status": "ok"}


@operation(api, "GET", "/health/ready", "Is it ready for requests", needs=PUBLIC, answers={200: Alive})
def ready() -> Response | dict[str, str]:
    """200 when Postgres answers and its schema is the one of this version; Redis may be away."""
    postgres.start()
    _, wrong = postgres.finding(time.monotonic() + PATIENCE_SECONDS)
    if wrong is not None:
        raise Unavailable(f"Postgres: {wrong}")
    return {"status": "ok"}


def _rate_limits(redis_wrong: str | None) -> dict[str, Any]:
    """Whether requests are counted for all web processes together; `degraded`: each counts for itself meanwhile."""
    known = settings()
    if not known.core_rate_limit_enabled:
        return {"status": "ok", "detail": "switched off"}
    if known.core_rate_limit_backend == "local":
        return {"status": "ok", "detail": "each process counts for itself, as it is set"}
    return _check(redis_wrong and "each process counts for itself: Redis does not answer", "degraded")


def _check(wrong: str | None, severity: str) -> dict[str, Any]:
    return {"status": "ok" if wrong is None else severity, "detail": wrong}
