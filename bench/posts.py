"""The client of the accepting measure, in a process of its own: posts runs at a steady rate, whatever the answers do.

`python -m bench.posts host:port KEY` reads JSON lines and answers each with one:

    {"body": {...}, "rate": 200, "seconds": 10}  -> {"ms": [each post's time], "runs": [id, ...], "refused": how many,
        "said": {what the others were answered: how often}}

A post's time counts from the moment at which it was due, so a client or server that falls behind shows.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import http.client  # noqa: E402
import json  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gevent.fileobject import FileObject  # noqa: E402


class Client:
    """Connections that are kept, as many as answers are awaited, and what came back."""

    def __init__(self, address: str, key: str) -> None:
        self._address = address
        self._headers = {"X-API-Key": key, "Content-Type": "application/json"}
        self._free: list[http.client.HTTPConnection] = []

    def post_all(self, body: dict[str, Any], rate: float, seconds: float) -> dict[str, Any]:
        """Post at that rate for so long; all answers."""
        whole, began = json.dumps(body).encode(), time.perf_counter()
        posts = []
        for number in range(int(rate * seconds)):
            due = began + number / rate
            gevent.sleep(max(0.0, due - time.perf_counter()))
            posts.append(gevent.spawn(self._post, whole, due))
        answers = [post.get() for post in posts]
        return {
            "ms": [milliseconds for milliseconds, _, _ in answers],
            "runs": [run for _, run, _ in answers if run is not None],
            "refused": sum(run is None for _, run, _ in answers),
            "said": Counter(said for _, _, said in answers if said is not None),
        }

    def _post(self, body: bytes, due: float) -> tuple[float, str | None, str | None]:
        """(milliseconds since it was due, the run's id or None, what was said instead of an id or None)."""
        connection = self._free.pop() if self._free else http.client.HTTPConnection(self._address, timeout=60)
        connection.request("POST", "/api/v1/runs", body, self._headers)
        answer = connection.getresponse()
        told = answer.read()
        milliseconds = (time.perf_counter() - due) * 1000
        self._free.append(connection)
        if answer.status != 202:
            return milliseconds, None, f"{answer.status} {told.decode()[:200]}"
        return milliseconds, json.loads(told)["run_id"], None


def main(address: str, key: str) -> None:
    """Do what the lines of stdin say."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    client = Client(address, key)
    for line in FileObject(sys.stdin):
        print(json.dumps(client.post_all(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
