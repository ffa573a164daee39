"""`make demo`: starts an instance, shows a script run live, kills the worker that writes it, shows the run going on.

The worker is held in the step `write` by a fault point (otherwise the rules write faster than anyone can aim), and
then really killed with SIGKILL: its step is lost, another worker takes the run over. `--once` ends by itself.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from operate.client import Client, ClientError
from operate.instance import Instance
from operate.procfile import ROOT
from operate.service import Service
from settings import data_dir

REQUEST = {
    "query": "帮我写一段618美妆直播开场话术，活泼一点",
    "influencer_name": "小雅",
    "category": "美妆",
}
START_SECONDS = 60.0
RUN_SECONDS = 90.0
HELD_STEP = "write"
MARKS = {
    "run_accepted": "[dim]○[/]", "step_started": "[cyan]▶[/]", "step_succeeded": "[green]✓[/]",
    "step_rescued": "[bold yellow]↻[/]", "step_retried": "[yellow]↻[/]", "step_failed": "[red]✗[/]",
    "run_completed": "[bold green]■[/]", "run_failed": "[bold red]■[/]",
}  # fmt: skip


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


class Demo:
    """One showing. `console` is where it is seen."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.instance = Instance(data_dir())
        self.flag = Path(tempfile.mkdtemp(prefix="baton-demo-")) / "held"
        self.begun = time.monotonic()
        self.killed: str | None = None

    def service(self) -> Service:
        """`manage.py up` as a child, which ends with us."""
        self.instance.make()
        environment = {**os.environ, "BATON_FAULT_POINTS": f"in_node@{HELD_STEP}=stop:{self.flag}"}
        return Service(
            "up", [sys.executable, str(ROOT / "manage.py"), "up", "--quiet", "--data-dir", str(self.instance.folder)],
            environment, Path.cwd(), self.instance.folder / "up.log", stop_signal=signal.SIGINT,
            patience_seconds=60.0, orphan_signal=signal.SIGTERM,
        )  # fmt: skip

    def wait_until_ready(self, up: Service) -> Client:
        """The client of the instance once it is ready. Raises DemoError with the log of `up` if it does not get so."""
        with self.console.status("Starting PostgreSQL, Redis, web, two workers, beat, Flower ..."):
            while time.monotonic() - self.begun < START_SECONDS:
                if up.ended():
                    break
                try:
                    client = Client(self.instance)
                    client.call("GET", "/health/ready")
                    return client
                except ClientError:
                    time.sleep(0.1)
        tail = (self.instance.folder / "up.log").read_text(errors="replace").splitlines()[-15:]
        raise DemoError("the instance did not get ready:\n" + "\n".join(tail))

    def kill_when_held(self) -> None:
        """Wait until a worker is held in its node, let it be seen for a moment, and kill it -9. Runs in a thread."""
        until = time.monotonic() + RUN_SECONDS
        while self.killed is None and time.monotonic() < until:
            for process in self.instance.running():
                if process["name"].startswith("worker") and _frozen(process["pid"]):
                    time.sleep(1.0)
                    self.killed = process["name"]
                    os.kill(process["pid"], signal.SIGKILL)
                    self.say("[bold red]✗[/]", "[bold red]kill -9[/]", f"{self.killed}, in the middle of {HELD_STEP}")
                    return
            time.sleep(0.05)

    def show_run(self, client: Client) -> dict[str, Any]:
        """Start the run and show its events until it ends; the finished run."""
        self.console.print(f"\n[bold]A creator asks:[/] {REQUEST['query']}  [dim]({REQUEST['influencer_name']})[/]")
        self.begun = time.monotonic()
        run = client.call("POST", "/runs", {"chain": "script", "input": REQUEST})
        self.console.print(f"[dim]run {run['run_id']}, a Celery chain with one task an agent[/]\n")
        threading.Thread(target=self.kill_when_held, daemon=True).start()
        for event in client.follow(run["run_id"]):
            if event["type"] in MARKS:
                self.say(MARKS[event["type"]], event["type"], event.get("step") or "")
        finished: dict[str, Any] = client.call("GET", f"/runs/{run['run_id']}", wait=5)
        return finished

    def say(self, mark: str, what: str, detail: str) -> None:
        """One line of the showing, with the time since the run began."""
        passed = time.monotonic() - self.begun
        gap = " " * (16 - len(Text.from_markup(what)))
        self.console.print(f"{passed:6.2f} s  {mark} {what}{gap} [dim]{detail}[/]", highlight=False)

    def show_result(self, run: dict[str, Any]) -> None:
        """The script, and what it took."""
        steps = [step for step in run["steps"] if step["status"] == "succeeded"]
        again = [step["key"] for step in steps if step["attempt"] > 1]
        title = f"{run['status']}{' (degraded)' if run['degraded'] else ''} · {len(steps)} steps"
        output = run["output"] or {}
        self.console.print(Panel(output.get("script") or str(run["error"]), title=title, border_style="green"))
        if run["degraded"]:
            self.console.print(f"[dim]Degraded, and it says so: {run['degraded_reason']}[/]")
        if self.killed and again:
            self.console.print(
                f"[bold]{self.killed} was killed in `{', '.join(again)}`:[/] that step ran again elsewhere, "
                f"the {len(steps) - len(again)} others ran once."
            )
        elif not self.killed:
            self.console.print("[yellow]No worker was caught in the middle this time.[/]")

    def show_addresses(self, client: Client) -> None:
        """Where everything answers."""
        flower = next((row["port"] for row in self.instance.running() if row["name"] == "flower"), None)
        rows = [("API", f"{client.base_url}/api/v1", f"key in {self.instance.folder / 'api_key'}")]
        rows.append(("Docs", f"{client.base_url}/docs", "need no internet"))
        if flower:
            rows.append(("Flower", f"http://127.0.0.1:{flower}", "login: any name, the API key as the password"))
        rows.append(("Terminal", ".venv/bin/python manage.py", "run, runs, ps, psql, redis-cli, ..."))
        self.console.print()
        for name, address, note in rows:
            self.console.print(f"  {name:<9} {address:<29} [dim]{note}[/]", highlight=False, soft_wrap=True)


def _frozen(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def show(demo: Demo, up: Service, *, once: bool) -> int:
    """The whole showing; exit code 0 when the run completed."""
    client = demo.wait_until_ready(up)
    demo.console.print(f"[green]ready[/] after {time.monotonic() - demo.begun:.1f} s: {client.base_url}")
    run = demo.show_run(client)
    demo.show_result(run)
    demo.show_addresses(client)
    if not once:
        demo.console.print("\n[bold]Ctrl-C stops all of it.[/]")
        while not up.ended():
            time.sleep(0.5)
        raise DemoError("the instance ended by itself: see its logs")
    return 0 if run["status"] == "completed" else 1


def main() -> int:
    """Parse `--once` and `--data-dir`, show, and stop everything whatever happens."""
    parser = argparse.ArgumentParser(prog="make demo", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--once", action="store_true", help="end by itself when the run has completed")
    parser.add_argument("--data-dir", help="data dir of the instance (default .baton)")
    args = parser.parse_args()
    if args.data_dir:
        os.environ["BATON_DATA_DIR"] = args.data_dir
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell started us with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    console = Console()
    demo = Demo(console)
    up = demo.service()
    up.start()
    code = 1
    try:
        code = show(demo, up, once=args.once)
    except KeyboardInterrupt:
        code = 0
    except (DemoError, ClientError) as error:
        console.print(f"[red]error:[/] {error}", markup=True)
    finally:
        with console.status("Stopping ..."):
            stop(up)
    return code


def stop(up: Service) -> None:
    """Stop `up`, which stops all the others; Ctrl-C now ends its patience."""
    up.ask_to_stop()
    while not up.ended() and up.child is not None:
        try:
            time.sleep(0.1)
        except KeyboardInterrupt:
            up.ask_to_stop()


if __name__ == "__main__":
    sys.exit(main())
