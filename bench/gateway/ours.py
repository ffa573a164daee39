"""The contestant Baton: a node's door with budget, breaker, call log and caches on: `python -m bench.gateway.ours URL`.

Every question is new and asks the caches (`cache="exact"`), so that each call is a miss of L1 and L2 and is kept.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from bench.gateway.contest import MAX_TOKENS, serve

MODELS = """\
backends:
  - {{name: noop, type: vllm, endpoint: "{url}", model: noop, api_key: k, cost_per_1k: 0.5}}
  - {{name: spare, type: vllm, endpoint: "{url}", model: spare, api_key: k, cost_per_1k: 1.0}}
"""


def main(url: str) -> None:
    """Be the contestant until stdin ends."""
    begun = time.perf_counter()
    from gateway.backends.configuration import configuration
    from gateway.models import Models

    imported = time.perf_counter()
    from gateway.host import Alone
    from gateway.request import Caller
    from storage import tenants
    from storage.tables import uuid7

    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(MODELS.format(url=url))
        file.flush()
        os.environ["BATON_MODELS"] = str(Path(file.name))
        caller = Caller(tenants.create_tenant(f"bench-{uuid7()}"), uuid7(), "bench", chain="bench", agent_id="bench")
        door = Models(configuration, caller, Alone())

        def chat(question: str) -> str:
            return door.chat([{"role": "user", "content": question}], max_tokens=MAX_TOKENS, cache="exact")

        def stream(question: str) -> str:
            messages = [{"role": "user", "content": question}]
            return "".join(door.stream(messages, max_tokens=MAX_TOKENS, cache="exact"))

        serve(url, begun, imported, "chat", {"chat": chat, "stream": stream})


if __name__ == "__main__":
    main(sys.argv[1])
