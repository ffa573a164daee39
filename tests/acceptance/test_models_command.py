"""`manage.py models`: the list with health, breaker and price, one real call, and a tenant's budget."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from settings import Settings
from storage import model_health, tenants
from storage.model_policies import Policy, policy_of
from storage.tables import uuid7
from tests.acceptance.house import ROOT, clean_environment
from tests.agents.fault_proxy import FaultProxy
from tests.conftest import Servers

KEY = "sk-a-key-that-nobody-may-see"


class Place:
    """A models file: the server of `up-...` answers, `down-...`'s does not listen, `hosted-...` has none to ask."""

    def __init__(self, servers: Servers, folder: Path, proxy: FaultProxy, dead_url: str) -> None:
        self.proxy = proxy
        tag = uuid7().hex[-8:]
        self.up, self.down, self.hosted = (f"{state}-{tag}" for state in ("up", "down", "hosted"))
        self.file = folder / "models.yaml"
        self.file.write_text(
            f"routing_strategy: latency_optimized\nbackends:\n"
            f"- {{name: {self.up}, type: vllm, endpoint: '{proxy.url}', model: m, api_key: {KEY}, cost_per_1k_in: 0.01,"
            f" cost_per_1k_out: 0.0300}}\n"
            f"- {{name: {self.down}, type: ollama, endpoint: '{dead_url}', model: 'qwen3:8b', connect_seconds: 1}}\n"
            f"- {{name: {self.hosted}, type: anthropic, model: brand-new}}\n"
        )
        self.environment = clean_environment(**servers.environment(), BATON_MODELS=str(self.file))

    def manage(self, *args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "manage.py"), "models", *args]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60)

    def listed(self) -> dict[str, dict[str, Any]]:
        done = self.manage("--json")
        assert done.returncode == 0, done.stderr
        return {row["name"]: row for row in json.loads(done.stdout)["backends"]}


@pytest.fixture
def place(servers: Servers, settings_env: Settings, tmp_path: Path) -> Iterator[Place]:
    with FaultProxy() as dead:
        dead_url = dead.url
    with FaultProxy(answer="Good morning.\x1b[2J") as proxy:
        yield Place(servers, tmp_path, proxy, dead_url)


def test_the_list_says_who_is_up_how_quick_and_at_what_price(place: Place) -> None:
    # Given a backend that workers measured, and one that they leave alone
    model_health.succeeded(place.up, 120.0, recovered=False)
    model_health.open_breaker(place.down, 300.0, unproven=True)
    # When they are listed
    found = place.listed()
    # Then each has what its server, the workers and the file say
    up, down, hosted = found[place.up], found[place.down], found[place.hosted]
    assert (up["health"], up["breaker"], up["median_ms"]) == ("up", "closed", 120.0)
    assert (Decimal(up["price_in"]), Decimal(up["price_out"])) == (Decimal("0.01"), Decimal("0.03"))
    assert (down["health"], down["breaker"], down["languages"]) == ("down", "open", ["zh", "en"])
    assert 0 < down["open_for_seconds"] <= 300 and down["reason"]
    assert (hosted["health"], hosted["price_in"]) == ("-", None)
    assert found["embedded/use"]["capabilities"] == ["embedding"]
    assert place.proxy.paths == ["/v1/models"]


def test_the_table_has_a_line_for_each_and_no_key(place: Place) -> None:
    done = place.manage()
    assert done.returncode == 0, done.stderr
    table = done.stdout.splitlines()[:5]
    lines = {line.split()[0]: line.split()[1:] for line in table}
    assert lines[place.up] == ["vllm", "m", "en", "all", "up", "-", "closed", "0.01", "0.03"]
    assert lines[place.down][4] == "down"
    assert lines[place.hosted][-4:] == ["no", "price", "no", "price"]
    assert "routing: latency_optimized" in done.stdout
    assert KEY not in done.stdout + done.stderr


def test_without_redis_the_list_is_still_there(place: Place) -> None:
    place.environment["REDIS_URL"] = "redis://127.0.0.1:1/0"
    assert place.listed()[place.up]["breaker"] is None


def test_a_rejected_file_is_told_on_standard_error(place: Place) -> None:
    place.file.write_text(place.file.read_text().replace("type: vllm", "typ: vllm"))
    done = place.manage("--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{place.file}:3: backends[0].typ: there is no such field, did you mean type?" in done.stderr


def test_up_does_not_start_with_a_wrong_file(place: Place, tmp_path: Path) -> None:
    place.file.write_text("backends: []")
    command = [sys.executable, str(ROOT / "manage.py"), "up", "--data-dir", str(tmp_path / "data")]
    done = subprocess.run(command, cwd=ROOT, env=place.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == f"error: {place.file}:1: backends: there must be one at least\n"
    assert not (tmp_path / "data").exists()


def test_a_test_call_shows_the_answer_times_and_tokens(place: Place) -> None:
    done = place.manage("test", place.up, "--prompt", "Say good morning.")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Good morning.[2J\n")  # the terminal is not told to clear itself
    for line in (r"first token", "total", "tokens"):
        assert line in done.stdout
    assert place.proxy.requests[0]["messages"][0]["content"] == "Say good morning."
    assert " in, " in done.stdout and "not told" not in done.stdout


@pytest.mark.parametrize("fault", ["500", "hang_before_headers", "garbage"])
def test_a_failed_test_call_is_one_line_and_exit_code_1(place: Place, fault: str) -> None:
    place.proxy.fault = fault
    place.file.write_text(place.file.read_text().replace("model: m,", "model: m, first_token_seconds: 0.5,"))
    done = place.manage("test", place.up)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    assert place.up in done.stderr and KEY not in done.stderr


def test_a_backend_that_nobody_knows_is_refused_with_those_that_there_are(place: Place) -> None:
    done = place.manage("test", "nobody")
    assert done.returncode == 2 and place.up in done.stderr


def test_the_sentence_encoder_is_tested_with_a_sentence(place: Place) -> None:
    done = place.manage("test", "embedded/use", "--prompt", "你好")
    assert done.returncode == 0, done.stderr
    assert "512 numbers" in done.stdout


def test_a_budget_is_shown_and_changed(place: Place) -> None:
    # Given a tenant that nothing was said about
    name = f"tenant-{uuid7()}"
    tenant = tenants.create_tenant(name)
    shown = place.manage("budget", name)
    assert shown.returncode == 0, shown.stderr
    assert "no limit (default), today 0 used and 0 reserved" in shown.stdout
    assert policy_of(tenant) == Policy()
    # When its policy is set
    done = place.manage(
        "budget", name, "--tokens", "5000", "--money", "2.50", "--allow", "up-*", "--allow", "gpt-4o", "--record-text"
    )
    # Then it holds, and the command says what it is now
    assert done.returncode == 0, done.stderr
    assert "tokens a day             5000," in done.stdout and "2.5," in done.stdout
    assert "up-*, gpt-4o" in done.stdout and "paused runs that go on   0" in done.stdout
    changed = place.manage("budget", name, "--tokens", "none", "--money", "default", "--allow", "*", "--no-record-text")
    assert changed.returncode == 0, changed.stderr
    assert "tokens a day             no limit," in changed.stdout
    assert "money a day              no limit (default)," in changed.stdout
    assert "allowed models           all" in changed.stdout


@pytest.mark.parametrize(
    "arguments",
    [("--tokens", "many"), ("--tokens", "-1"), ("--tokens", "1.5"), ("--money", "nan"), ("--money", "1e99")],
)
def test_what_is_no_limit_is_refused(place: Place, arguments: tuple[str, ...]) -> None:
    done = place.manage("budget", "default", *arguments)
    assert done.returncode == 2 and "is expected" in done.stderr


def test_a_tenant_that_nobody_knows_is_refused(place: Place) -> None:
    done = place.manage("budget", "nobody")
    assert done.returncode == 2 and "there is no tenant 'nobody'" in done.stderr
