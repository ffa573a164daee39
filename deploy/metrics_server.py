"""Serves what the processes of a host counted, where no web process runs: `python deploy/metrics_server.py [PORT]`.

Reads the files of PROMETHEUS_MULTIPROC_DIR, like `/metrics` of the web process does, and needs no database.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from prometheus_client import CollectorRegistry, multiprocess, start_http_server

PORT = 9464


def main(port: int) -> None:
    """Serve until the process is stopped."""
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
    Path(folder).mkdir(parents=True, exist_ok=True)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    start_http_server(port, registry=registry)
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else PORT)
