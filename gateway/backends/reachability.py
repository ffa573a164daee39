"""Whether the servers behind backends answer: a quick look for operators. Routing goes by calls (breaker.py)."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from gateway.backend import Backend
from gateway.wire.providers import is_local, openai_base

LOOK_SECONDS = 1.0
MAX_SERVERS = 64  # asked at the same time, a thread each
KEY_REFUSED = (401, 403)

Server: TypeAlias = tuple[str, str | None]  # what is asked for, and the key


class Reach(NamedTuple):
    """state: "-" where there is no server to ask; reason: why it is down."""

    state: Literal["up", "down", "-"]
    reason: str = ""


def reach(backends: Sequence[Backend]) -> dict[str, Reach]:
    """By a backend's name, whether its server answers; all are asked at once, and waited for a second."""
    servers = {backend.name: _server(backend) for backend in backends}
    wanted = list(dict.fromkeys(server for server in servers.values() if server))[:MAX_SERVERS]
    found: dict[Server, Reach] = {}
    threads = [threading.Thread(target=lambda one=one: found.update({one: _ask(*one)}), daemon=True) for one in wanted]
    for thread in threads:
        thread.start()
    until = time.monotonic() + LOOK_SECONDS + 0.2
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    late = {server: Reach("down", f"no answer within {LOOK_SECONDS:.0f} s") for server in wanted}
    known = {**late, **found}
    return {name: known.get(server, Reach("-")) if server else Reach("-") for name, server in servers.items()}


def _server(backend: Backend) -> Server | None:
    """What lists the server's models, which costs nothing; Anthropic's wants more, and the sentence encoder is here."""
    if not backend.endpoint or backend.kind == "anthropic":
        return None
    if backend.kind == "ollama":
        return f"{backend.endpoint.rstrip('/')}/api/tags", backend.api_key
    return f"{openai_base(backend.endpoint)}/models", backend.api_key


def _ask(url: str, key: str | None) -> Reach:
    import httpx

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with (
            httpx.Client(timeout=LOOK_SECONDS, trust_env=not is_local(url)) as client,
            client.stream("GET", url, headers=headers) as answer,  # its body is of no interest, and may be endless
        ):
            status = answer.status_code
    except httpx.TimeoutException:
        return Reach("down", f"no answer within {LOOK_SECONDS:.0f} s")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as wrong:
        return Reach("down", str(wrong)[:200] or type(wrong).__name__)
    if status in KEY_REFUSED:
        return Reach("down", f"the key is refused ({status})")
    return Reach("down", f"HTTP {status}") if status >= 500 else Reach("up")
