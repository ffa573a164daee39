"""How long after a model's first token a viewer of `POST /generate/stream` sees it: `python -m bench.first_token`.

A whole installation (`manage.py up`), and in place of the model a server that speaks OpenAI's protocol and answers at
once. Its clock starts when the request has reached it, so reading the request counts against us.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import requests

from tests.agents.fault_proxy import FaultProxy

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 60.0
WARM_UP = 3  # the first ones import
ANSWER = "【开场】家人们晚上好，欢迎来到直播间！\n\n【互动】想看什么打在公屏上！\n\n【促单】喜欢的点下方链接！"


def main() -> int:
    """Print the figures of so many requests, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=60)
    asked = parser.parse_args()
    reached: list[float] = []

    def plan(_number: int, _asked: dict[str, Any]) -> None:
        reached.append(time.monotonic())

    with FaultProxy(answer=ANSWER, plan=plan, drip_seconds=0.02) as model, installation(model.url) as (address, key):
        late = [late_ms(address, key, number, reached) for number in range(asked.requests + WARM_UP)][WARM_UP:]
    worst = quantiles(late, n=20)[-1]
    print(f"{len(late)} requests: p50 {median(late):.1f} ms, p95 {worst:.1f} ms, most {max(late):.1f} ms")
    return 0


def late_ms(address: str, key: str, number: int, reached: list[float]) -> float:
    """From the moment at which the request for the script had reached the model to the viewer's first token.

    The writer's request is the last one before that token: reading the wish asks a model as well.
    """
    at = first_token(address, key, number)
    return (at - max(moment for moment in reached if moment <= at)) * 1000


def first_token(address: str, key: str, number: int) -> float:
    """When the first token of a new script came (monotonic); the rest is read to its end."""
    body = {"query": f"写一段美妆直播开场话术，第{number}次"}
    headers = {"X-API-Key": key}
    at = 0.0
    with requests.post(
        f"{address}/api/v1/generate/stream", json=body, headers=headers, stream=True, timeout=30
    ) as came:
        for line in came.iter_lines():
            if line == b"event: token" and not at:
                at = time.monotonic()
    if not at:
        raise RuntimeError("no token came: the model was not asked")
    return at


@contextmanager
def installation(model_url: str) -> Iterator[tuple[str, str]]:
    """`manage.py up` on embedded servers, with this model alone; its address and its API key."""
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as name:
        folder = Path(name)
        backend = {"name": "host", "type": "vllm", "endpoint": model_url, "model": "m", "languages": ["zh", "en"]}
        (folder / "models.yaml").write_text(json.dumps({"backends": [backend]}))
        command = [sys.executable, "manage.py", "up", "--no-flower", "--workers", "1", "--quiet"]
        environment = {
            **os.environ,
            "BATON_DATA_DIR": str(folder / "data"),
            "BATON_MODELS": str(folder / "models.yaml"),
        }
        with (folder / "up.log").open("wb") as log:
            child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            yield _ready(folder)
        finally:
            child.send_signal(signal.SIGINT)
            child.wait(60)


def _ready(folder: Path) -> tuple[str, str]:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        listed = subprocess.run(
            [sys.executable, "manage.py", "ps", "--json", "--data-dir", str(folder / "data")],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        ports = [one["port"] for one in json.loads(listed.stdout or "[]") if one["name"] == "web"]
        if ports and ports[0]:
            address = f"http://127.0.0.1:{ports[0]}"
            try:
                if requests.get(f"{address}/api/v1/health/ready", timeout=2).ok:
                    return address, (folder / "data" / "api_key").read_text().strip()
            except requests.ConnectionError:
                pass
        time.sleep(0.2)
    raise RuntimeError((folder / "up.log").read_text())


if __name__ == "__main__":
    sys.exit(main())
