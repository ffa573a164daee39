"""LiteLLM's Router on the same model: `python -m bench.peers.litellm_router URL`.

As it comes: two deployments with a fallback, one retry, its cooldowns and its routing in the process's own memory. It
keeps no budget, writes no log and has no cache here, all of which cost it time. Its download of a price map and its
messages are off.
"""

from __future__ import annotations

import os
import sys
import time

from bench.gateway.contest import MAX_TOKENS, serve

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_TELEMETRY"] = "False"


def main(url: str) -> None:
    """Be the contestant until stdin ends."""
    begun = time.perf_counter()
    import litellm
    from litellm import Router

    imported = time.perf_counter()
    litellm.suppress_debug_info = True

    def deployment(name: str) -> dict[str, object]:
        return {
            "model_name": name,
            "litellm_params": {"model": f"openai/{name}", "api_base": f"{url}/v1", "api_key": "k", "timeout": 60},
        }

    router = Router([deployment("noop"), deployment("spare")], fallbacks=[{"noop": ["spare"]}], num_retries=1)

    def chat(question: str) -> str:
        answer = router.completion("noop", [{"role": "user", "content": question}], max_tokens=MAX_TOKENS)
        return answer.choices[0].message.content or ""

    def stream(question: str) -> str:
        messages = [{"role": "user", "content": question}]
        chunks = router.completion("noop", messages, max_tokens=MAX_TOKENS, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    serve(url, begun, imported, "chat", {"chat": chat, "stream": stream})


if __name__ == "__main__":
    main(sys.argv[1])
