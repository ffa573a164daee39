"""`manage.py up`: starts the servers and every process of the Procfile, keeps them running, stops them all.

One thread, one loop: it wakes when a child ends or a signal arrives, starts again what has ended, and shows the logs.
Phases: servers (embedded Postgres and Redis) → provision (migrations, first key) → processes → ready. A frozen process
is not dead and is left alone. When `up` itself is killed, the kernel ends its children (see service.py); what is left
of an earlier life all the same is ended at the next start, by pid and start time.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.backends import embedded
from operate import environment, procfile
from operate.instance import Instance, InstanceError
from operate.logs import LogView
from operate.service import Service
from settings import Settings
from storage.embedded import postgres, processes, redis
from storage.redis_users import role_of

LATER = ("isolated", "beat", "flower")  # not needed to be ready: they start when the others have had the processor
LATER_SECONDS = 2.5
LOOK_SECONDS = 0.2
SERVERS_SECONDS = 60.0
OWN_CHAINS_SECONDS = 60.0


@dataclass(frozen=True)
class Wishes:
    """What the command line of `up` asks for; None: not named."""

    port: int | None = None
    workers: int = 2
    flower: bool = True
    quiet: bool = False


class Supervisor:
    """Runs one instance until it is told to stop."""

    def __init__(
        self, known: Settings, wishes: Wishes, *, on_ready: Callable[[Supervisor], None] | None = None
    ) -> None:
        self.known = known
        self.wishes = wishes
        self.instance = Instance(known.data_dir)
        self.services: dict[str, Service] = {}
        self.values: dict[str, str] = {}
        self.logs = LogView(self.instance.folder / "logs", quiet=True)
        self.on_ready = on_ready
        self._signals: list[int] = []
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._embedded_postgres: Path | None = None
        self._redis_urls: dict[str, str] = {}  # by role; none for a Redis of one's own, whose user REDIS_URL names
        self._model: embedded.ModelPlan | None = None

    def run(self) -> int:
        """Start, watch, stop. The exit code: 0 after a signal, 1 when the start failed (the reason is printed)."""
        self.instance.lock()
        self._catch_signals()
        self._end_earlier_life()
        self.logs = LogView(self.instance.folder / "logs", quiet=self.wishes.quiet)
        try:
            return self._run()
        finally:
            self._stop_all()

    def _run(self) -> int:
        begun = time.monotonic()
        self._start_servers()
        self._look_at_own_chains()
        if not (self._wait(self._servers_answer, SERVERS_SECONDS) and self._provision() and self._own_chains_load()):
            return 0 if self._signals else 1
        self._start_processes()
        later_at, ready, complete = time.monotonic() + LATER_SECONDS, False, False
        while not self._signals:
            self._turn()
            if not ready and self._is_ready():
                ready = True
                self._say_ready(time.monotonic() - begun)
            if not complete and (ready or time.monotonic() > later_at):
                complete = True
                self._start_later()
        return 0

    # --- the loop -------------------------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, frame: self._signals.append(number))

    def _turn(self) -> None:
        """Wait a moment or for a child's end, note who ended, start who is due, show the logs."""
        with contextlib.suppress(InterruptedError):
            if select.select([self._wake_reader], [], [], LOOK_SECONDS)[0]:
                with contextlib.suppress(BlockingIOError):
                    self._wake_reader.recv(4096)
        changed = False
        for service in self.services.values():
            if service.ended():
                changed = True
                if not service.once:
                    self._say(f"{service.name} ended ({_how(service.exit_code)}), it is started again")
        for service in self.services.values():
            if service.child is None and not service.once and time.monotonic() >= service.due_at:
                self._start(service)
                changed = True
        if changed:
            self._record()
        self.logs.look()

    def _start(self, service: Service) -> None:
        try:
            service.start()
        except OSError as error:  # no memory, no file descriptors: try again
            service.due_at = time.monotonic() + 1.0
            self._say(f"{service.name} cannot be started: {error}")

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Turn until the condition holds; False after so many seconds or a signal."""
        until = time.monotonic() + seconds
        while not self._signals and time.monotonic() < until:
            if condition():
                return True
            self._turn()
        return False

    def _record(self) -> None:
        self.instance.record(
            [(name, one.child.pid, one.port) for name, one in self.services.items() if one.child and not one.once]
        )

    def _say(self, text: str) -> None:
        print(f"{'up':<9}| {text}", flush=True)

    # --- start ----------------------------------------------------------------------------------------------------

    def _add(self, service: Service) -> None:
        self.services[service.name] = service
        self._start(service)
        self._record()

    def _log(self, name: str) -> Path:
        return self.instance.folder / "logs" / f"{name}.log"

    def _end_earlier_life(self) -> None:
        """End what an `up` that was killed has left; the servers are found by their folders when they are prepared."""
        processes.end(self.instance.left_over(), signal.SIGKILL, patience_seconds=5)
        shutil.rmtree(self.instance.folder / "metrics", ignore_errors=True)
        (self.instance.folder / "metrics").mkdir(exist_ok=True)

    def _start_servers(self) -> None:
        """Start the embedded servers that no setting replaces, and work out the environment of all processes."""
        given = {"PORT": str(self.instance.kept_port("web", named=self._named_port(), usual=8080))}
        given["FLOWER_PORT"] = os.environ.get("FLOWER_PORT") or str(
            self.instance.kept_port("flower", named=None, usual=5555)
        )
        bare = dict(os.environ)
        if not self.known.redis_url:
            plan = redis.prepare(self.instance.folder)
            given["REDIS_URL"], self._redis_urls = plan.url, plan.urls  # the operator's is for commands typed by hand
            self._add(Service(
                "redis", plan.argv, bare, plan.folder, self._log("redis"), plan.port, orphan_signal=signal.SIGTERM,
                before=lambda: redis.end_earlier_life(plan.folder),
            ))  # fmt: skip
        if not self.known.database_url:
            given.update(self._start_postgres(bare))
        if not self.known.embedded_model_url:
            given.update(self._plan_model())
        self.values = environment.complete(self.known, given, self.instance)
        self.instance.write_env(environment.for_commands(self.values))

    def _start_postgres(self, bare: dict[str, str]) -> dict[str, str]:
        plan = postgres.prepare(self.instance.folder)
        self._embedded_postgres = plan.folder
        self._add(Service(
            "postgres", plan.argv, bare, self.instance.folder, self._log("postgres"), plan.port,
            stop_signal=signal.SIGINT, patience_seconds=20.0, orphan_signal=signal.SIGINT, become=plan.become,
            before=lambda: postgres.end_earlier_life(plan.folder),
        ))  # fmt: skip
        return {
            "DATABASE_URL": plan.owner_url,
            "BATON_DATABASE_APP_URL": plan.app_url,
            "BATON_DATABASE_KEEPER_URL": plan.keeper_url,
        }

    def _plan_model(self) -> dict[str, str]:
        """Choose where the embedded model will answer; it starts later. {}: its weights are not installed."""
        try:
            embedded.weights()
        except embedded.EmbeddedModelError:
            return {}
        self._model = embedded.prepare(self.instance.folder)
        return {"BATON_EMBEDDED_MODEL_URL": self._model.url, "BATON_EMBEDDED_MODEL_KEY": self._model.key}

    def _named_port(self) -> int | None:
        return self.wishes.port or (self.known.port if "port" in self.known.model_fields_set else None)

    def _servers_answer(self) -> bool:
        if "redis" in self.services and not processes.answers(self.services["redis"].port or 0):
            return False
        return self._embedded_postgres is None or postgres.takes_connections(self._embedded_postgres)

    def _provision(self) -> bool:
        """Run migrations and make the first key, unless this very database has them already. False: it failed."""
        told = environment.fingerprint(self.values)
        embedded, key = self._embedded_postgres is not None, self.instance.folder / "api_key"
        if embedded and key.exists() and self.instance.read("kept.json").get("provisioned") == told:
            return True
        new = not key.exists()
        for _ in range(3):
            self._add(Service(
                "provision", [sys.executable, "-m", "operate.provision"], self.values, procfile.ROOT,
                self._log("provision"), once=True, patience_seconds=2.0,
            ))  # fmt: skip
            one = self.services["provision"]
            self._wait(lambda one=one: one.child is None, 300.0)  # type: ignore[misc]
            if one.exit_code == 0 and not self._signals:
                self.instance.keep("provisioned", told)
                if new:
                    self._say(f"API key of the tenant `default` (kept in {key}): {key.read_text()}")
                return True
            if one.exit_code == 3 or self._signals:
                break
        self._say(f"the database could not be made ready:\n{self.logs.tail('provision')}")
        return False

    def _look_at_own_chains(self) -> None:
        """Load the package of BATON_CHAINS in a process of its own, while the servers start."""
        if self.known.chains:
            self._add(Service(
                "own-chains", [sys.executable, "-m", "operate.own_chains"], self.values, procfile.ROOT,
                self._log("own-chains"), once=True, patience_seconds=2.0,
            ))  # fmt: skip

    def _own_chains_load(self) -> bool:
        """Whether it could be loaded; a worker that cannot load it would only be started again and again."""
        one = self.services.get("own-chains")
        if one is None:
            return True
        self._wait(lambda: one.child is None, OWN_CHAINS_SECONDS)
        if one.exit_code == 0 or self._signals:
            return not self._signals
        self._say(self.logs.tail("own-chains", lines=1) or "BATON_CHAINS: the package could not be loaded")
        return False

    def _start_processes(self) -> None:
        for line, command in procfile.lines().items():
            if line in LATER:
                continue
            for name in procfile.instances(line, self.wishes.workers):
                self._add(self._service(name, command))

    def _start_later(self) -> None:
        if model := self._model:
            self._add(Service(
                "model", model.argv, self.values, model.folder, self._log("model"), model.port,
                before=lambda: embedded.end_earlier_life(model.folder),
            ))  # fmt: skip
        for line, command in procfile.lines().items():
            if line in LATER and (line != "flower" or self.wishes.flower):
                self._add(self._service(line, command))

    def _service(self, name: str, command: str) -> Service:
        values = {**self.values, "WORKER_NAME": name}
        values["REDIS_URL"] = self._redis_urls.get(role_of(name), values["REDIS_URL"])
        port = {"web": values["PORT"], "flower": values["FLOWER_PORT"]}.get(name)
        works = name.startswith(("worker", "isolated"))
        return Service(
            name, procfile.argv(command, values), values, procfile.ROOT, self._log(name), int(port) if port else None,
            patience_seconds=self.known.drain_seconds + 5 if works else 10.0,
        )  # fmt: skip

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.base_url}/api/v1/health/ready", timeout=0.5) as answer:  # nosec B310 # our own address
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    @property
    def base_url(self) -> str:
        """Where the web process answers."""
        return f"http://127.0.0.1:{self.values['PORT']}"

    def _say_ready(self, seconds: float) -> None:
        self._say(f"ready after {seconds:.1f} s: {self.base_url} (API docs at /docs)")
        if self.wishes.flower:
            self._say(f"Flower: http://127.0.0.1:{self.values['FLOWER_PORT']} (any name, the API key as the password)")
        self._say(f"API key: {self.instance.folder / 'api_key'} · logs: {self.instance.folder / 'logs'}")
        if self.on_ready:
            self.on_ready(self)

    # --- stop -----------------------------------------------------------------------------------------------------

    def _stop_all(self) -> None:
        """Let the processes finish what they do, then stop the servers; a second signal ends the patience."""
        servers = [one for one in self.services.values() if one.name in ("postgres", "redis", "model")]
        others = [one for one in self.services.values() if one not in servers]
        self._signals.clear()
        self._stop(others)
        self._stop(servers)
        self._record()
        if self._embedded_postgres:
            postgres.end_earlier_life(self._embedded_postgres)
        self.logs.look()

    def _stop(self, stopping: list[Service]) -> None:
        for one in stopping:
            one.ask_to_stop()
        begun = time.monotonic()
        while left := [one for one in stopping if not one.ended() and one.child is not None]:
            for one in left:
                if self._signals or time.monotonic() - begun > one.patience_seconds:
                    one.kill()
            with contextlib.suppress(InterruptedError):
                select.select([self._wake_reader], [], [], LOOK_SECONDS)
            with contextlib.suppress(BlockingIOError):
                self._wake_reader.recv(4096)
            self.logs.look()


def _how(exit_code: int | None) -> str:
    """How a process ended, in words."""
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


def up(known: Settings, wishes: Wishes) -> int:
    """Run an instance in this terminal until SIGINT or SIGTERM; returns the exit code."""
    try:
        return Supervisor(known, wishes).run()
    except (InstanceError, postgres.PostgresError, redis.RedisError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
