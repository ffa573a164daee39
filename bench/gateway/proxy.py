"""The tests' fault proxy as a process of its own, so that it can be killed and frozen: `python -m bench.gateway.proxy`.

    {"share": 0.3, "seed": 7}    from now on so many requests get a fault; forgets what it served
    {"drip_seconds": 0.1}        the pause between two events of an answer
    {}                           -> {"requests": how many came, "served": [[fault, tokens_in, tokens_out, whole], ...]}

The line that it writes by itself is its URL. Every line is answered as `{}` is.
"""

from __future__ import annotations

import json
import sys
from dataclasses import astuple
from typing import Any

from tests.agents.fault_proxy import FaultProxy, seeded


def main() -> None:
    """Serve until stdin ends."""
    with FaultProxy() as proxy:
        _say(proxy.url)
        for line in sys.stdin:
            _do(proxy, json.loads(line))
            _say({"requests": len(proxy.requests), "served": [astuple(one) for one in list(proxy.served)]})


def _do(proxy: FaultProxy, asked: dict[str, Any]) -> None:
    if "share" in asked:
        proxy.plan = seeded(asked["seed"], asked["share"])
        proxy.requests.clear()
        proxy.served.clear()
    proxy.drip_seconds = asked.get("drip_seconds", proxy.drip_seconds)


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
