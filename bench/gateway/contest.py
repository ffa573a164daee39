"""What both contestants do alike: say how they started, then time their calls. Runs in either environment.

    {"kind": "chat", "calls": 200, "threads": 8}     -> {"ms": [...], "seconds": all of them together}

The line that comes by itself: {"import_ms", "first_ms": from the import's end to the first answer, "memory_mb"}. Beside
its own kinds each contestant has `bare` and `bare_stream`: the same question over httpx alone.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

Call = Callable[[str], str]

RIGHT = "ok"
MAX_TOKENS = 16
WARM_UP_CALLS = 30

_numbers = itertools.count()


def serve(url: str, begun: float, imported: float, first: str, kinds: dict[str, Call]) -> None:
    """Make the first call, then do what the lines of stdin say. begun, imported: around the import, seconds."""
    _checked(kinds[first])
    told = {
        "import_ms": (imported - begun) * 1000,
        "first_ms": (time.perf_counter() - imported) * 1000,
        "memory_mb": memory_mb(),
    }
    _say(told)
    kinds |= bare(url)
    for line in sys.stdin:
        asked = json.loads(line)
        _say(timed(kinds[asked["kind"]], asked["calls"], asked["threads"]))


def timed(call: Call, calls: int, threads: int) -> dict[str, object]:
    """The milliseconds of each call, after a few that do not count."""

    def one(_: int) -> float:
        began = time.perf_counter()
        _checked(call)
        return (time.perf_counter() - began) * 1000

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(WARM_UP_CALLS)))
        began = time.perf_counter()
        return {"ms": list(pool.map(one, range(calls))), "seconds": time.perf_counter() - began}


def _checked(call: Call) -> None:
    said = call(f"question {next(_numbers)}: what do you do?")
    if said != RIGHT:
        raise RuntimeError(f"the answer was {said!r}")


def bare(url: str) -> dict[str, Call]:
    """The same question over httpx alone, as a whole answer and as a stream."""
    import httpx

    client = httpx.Client(trust_env=False, timeout=60)
    address = f"{url}/v1/chat/completions"

    def body(question: str, **more: object) -> dict[str, object]:
        messages = [{"role": "user", "content": question}]
        return {"model": "noop", "messages": messages, "max_tokens": MAX_TOKENS, **more}

    def whole(question: str) -> str:
        return str(client.post(address, json=body(question)).json()["choices"][0]["message"]["content"])

    def stream(question: str) -> str:
        text = ""
        with client.stream("POST", address, json=body(question, stream=True)) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    for choice in json.loads(line[6:])["choices"]:
                        text += choice["delta"].get("content") or ""
        return text

    return {"bare": whole, "bare_stream": stream}


def memory_mb() -> float:
    """What this process holds of the machine's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)
