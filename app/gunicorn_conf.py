"""How gunicorn runs the front end: gevent workers that hold thousands of live streams each.

    gunicorn -c app/gunicorn_conf.py app.server:app

Monkey patching comes first, before anything of ours is imported, or psycopg2, redis and threads would block all
streams at once.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import gc  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gevent import spawn  # noqa: E402

import telemetry  # noqa: E402
from app import plain_errors  # noqa: E402
from policy.pii.mask import masked_value  # noqa: E402
from settings import settings  # noqa: E402
from storage import cooperative  # noqa: E402
from storage.live import hub  # noqa: E402

_settings = settings()

bind = f"0.0.0.0:{_settings.port}"
worker_class = "gevent"
workers = int(os.environ.get("WEB_CONCURRENCY", "1"))
worker_connections = 10_000
backlog = 4096
timeout = 60
graceful_timeout = 3
keepalive = 75
limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 8190
accesslog = None
loglevel = _settings.log_level.lower()
logger_class = "app.gunicorn_log.Logger"
control_socket_disable = True  # it would lie in the home directory, one for all instances

cooperative.install()
plain_errors.install()
telemetry.setup("web", level=_settings.log_level, log_format=_settings.log_format, mask=masked_value)


def on_starting(_server: Any) -> None:
    """Every stream is an open file: take as many as the hard limit gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def post_worker_init(worker: Any) -> None:
    """On SIGTERM and SIGQUIT end the live streams first, so that nobody waits for them: their clients reconnect.

    What was imported stays for ever: the garbage collector need not look at it again, which took it a third of a second
    in the middle of requests.
    """
    gc.collect()
    gc.freeze()
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
        signal.signal(number, _ending(signal.getsignal(number)))


def _ending(before: Any) -> Any:
    def end(number: int, frame: Any) -> None:
        spawn(hub().close_all)
        before(number, frame)

    return end


def child_exit(_server: Any, worker: Any) -> None:
    """Gauges of a worker that ended do not count any more."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
