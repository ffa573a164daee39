"""The script chains on a real worker: batches with bad items and with a killed worker, and a session that goes on."""

from __future__ import annotations

import resource
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from chains.answer import answer
from chains.doctor import stranded
from storage import catalog, sessions
from storage.catalog import PRODUCTS
from storage.tables import uuid7
from tests.engine.conftest import Runs
from tests.engine.workers import WorkerProcess, Workers

GOODS = ("精华水", "保湿面霜", "棉麻衬衫", "蓝牙音箱", "云感枕头", "坚果礼盒")


def products(tenant: UUID, count: int, wrong: set[int]) -> list[str]:
    """Ids of new products of the tenant, and at some places ids that nobody has."""
    ids = []
    for number in range(count):
        if number in wrong:
            ids.append(str(uuid4()))
            continue
        name = f"第{number}号{GOODS[number % len(GOODS)]}"
        values = {"name": name, "category": "general", "price": 100 + number, "currency": "CNY", "language": "zh"}
        ids.append(str(catalog.create(tenant, PRODUCTS, values)["id"]))
    return ids


def verify(runs: Runs, run: UUID, ids: list[str], wrong: set[int]) -> list[dict[str, Any]]:
    """Every good product has one script about itself, every bad one its reason, and each was told once."""
    runs.check(run)
    told = Counter(one["data"]["index"] for one in runs.events(run) if one["type"] == "item_done")
    assert told == Counter(range(len(ids)))
    items = [step["output"] for key, step in sorted(runs.steps(run).items()) if "item[" in key]
    items.sort(key=lambda one: one["index"])
    assert len(items) == len(ids)
    for index, item in enumerate(items):
        if index in wrong:
            assert item["error"]["code"] == "unknown_product", item
        else:
            assert f"第{index}号" in item["script"], item
    return items


def test_a_bad_product_fails_no_other(worker: WorkerProcess, runs: Runs) -> None:
    """Given 8 products of which one is not there, when a batch runs, then 7 scripts and a reason come."""
    ids = products(runs.tenant, 8, {3})
    run = runs.submit({"query": "每个商品写一段30秒的讲解", "products": ids}, "script.batch")
    runs.wait(run, seconds=30)
    verify(runs, run, ids, {3})
    summary = runs.steps(run)["answer"]["output"]
    assert (summary["written"], summary["failed"]) == (7, 1)
    # And the run says how many steps fell short for which reason, not the first of them alone
    degraded = runs.column(run, "degraded_reason")
    assert degraded.startswith("no model able in zh: rule-level writer (7 times); 1 of 8 products have no script: ")
    assert f"1 unknown_product (there is no product of the id {ids[3]}" in degraded


def test_a_batch_survives_a_killed_worker(workers: Workers, runs: Runs, tmp_path: Path) -> None:
    """Given a batch of 20 with one bad product, when its worker dies in it, then each is written once all the same."""
    ids = products(runs.tenant, 20, {7})
    workers.stop_all()
    flag = tmp_path / "struck"
    one = workers.start(immortal=True, BATON_FAULT_POINTS=f"after_node@item[5]=kill:{flag}")
    run = runs.submit({"query": "每个商品写一段30秒的讲解", "products": ids}, "script.batch")
    runs.wait(run, seconds=60)
    assert flag.exists() and one.exit_codes.count(-signal.SIGKILL) == 1
    verify(runs, run, ids, {7})
    workers.stop_all()


@pytest.mark.chaos
def test_a_batch_of_two_hundred(workers: Workers, runs: Runs, tmp_path: Path) -> None:
    """Given 200 products with 3 % bad, when a worker dies in the middle, then there are 194 scripts and 6 reasons."""
    wrong = {5, 40, 77, 120, 160, 199}
    ids = products(runs.tenant, 200, wrong)
    workers.stop_all()
    flag = tmp_path / "struck"
    workers.start(immortal=True, BATON_FAULT_POINTS=f"after_node@item[100]=kill:{flag}")
    run = runs.submit({"query": "每个商品写一段30秒的讲解", "products": ids}, "script.batch")
    began = time.monotonic()
    runs.wait_event(run, "item_done", seconds=30)
    first = time.monotonic() - began
    runs.wait(run, seconds=300)
    items = verify(runs, run, ids, wrong)
    assert sum("script" in one for one in items) == 194
    assert flag.exists()
    print(f"first result after {first:.2f} s, all after {time.monotonic() - began:.1f} s, "
          f"children's peak {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024} MiB")  # fmt: skip
    workers.stop_all()


def talk(runs: Runs, session_id: str, query: str, **given: Any) -> UUID:
    return runs.submit({"query": query, **given}, "script", session_id=session_id)


def test_a_session_goes_on_from_what_was_written(worker: WorkerProcess, runs: Runs) -> None:
    """Given a script of a session, when it is to be changed, then the diff tells what, and the next one follows it."""
    session_id = str(sessions.create(runs.tenant, {"influencer_name": "小雅"})["session_id"])
    first = talk(runs, session_id, "写一段水润精华的讲解，活泼一点")
    runs.wait(first)
    second = talk(runs, session_id, "一定要提到包邮")
    runs.wait(second)
    before, after = runs.column(first, "output"), runs.column(second, "output")
    # Then only one part is different, and everything else is what it was: product, tone, kinds of parts
    assert after["intent"] == "modify" and after["base_run_id"] == str(first)
    (one,) = after["diff"]
    assert "包邮" in one["after"] and one["after"].startswith(one["before"])
    assert (after["tone"], after["scene"]) == (before["tone"], before["scene"])
    assert after["sources"] == before["sources"]
    # And a shorter one is made of the changed one
    third = talk(runs, session_id, "缩短到30秒")
    runs.wait(third)
    short = runs.column(third, "output")
    assert short["base_run_id"] == str(second) and short["seconds"] == pytest.approx(30, rel=0.15)
    # And one more of the kind is about the same product
    fourth = talk(runs, session_id, "再来一段")
    runs.wait(fourth)
    assert runs.column(fourth, "output")["sources"]["product"] == before["sources"]["product"]
    for run in (first, second, third, fourth):
        runs.check(run)


def test_the_next_message_answers_the_question(worker: WorkerProcess, runs: Runs) -> None:
    """Given a run that asks which product, when the user just says it, then that run goes on with the answer."""
    session_id = str(uuid7())
    run = talk(runs, session_id, "介绍一下这款产品")
    runs.wait(run, "paused")
    assert runs.column(run, "pause")["kind"] == "question"
    said = [runs.ask({"query": "水润精华"}, "script", session_id=session_id, idem_key="k") for _ in range(2)]
    assert {(one.run_id, one.answered) for one in said} == {(run, "clarify")}
    runs.wait(run)
    # And a client that repeats itself when all is done gets that run, and no new one
    again = runs.ask({"query": "水润精华"}, "script", session_id=session_id, idem_key="k")
    assert (again.run_id, again.replayed) == (run, True)
    assert runs.column(run, "output")["sources"]["product"]["name"] == "晨露水润精华"
    assert sessions.turns(runs.tenant, session_id)[0]["content"] == "介绍一下这款产品\n水润精华"


def test_a_run_of_the_first_version_goes_on_with_the_second(worker: WorkerProcess, runs: Runs) -> None:
    """Given a run of version 1, which has left the code, when the doctor looks, then it goes on and completes."""
    run = talk(runs, str(uuid7()), "介绍一下这款产品")
    runs.wait(run, "paused")
    runs.rows("UPDATE runs SET chain_version = '1' WHERE id = %s RETURNING id", run)
    runs.rows("UPDATE steps SET facts = NULL WHERE run_id = %s RETURNING key", run)  # version 1 declared none
    (found,) = [one for one in stranded(apply=True) if one.run_id == run]
    assert (found.version, found.to) == ("1", "2")
    answer(runs.tenant, run, "水润精华")
    runs.wait(run)
    assert runs.column(run, "output")["sources"]["product"]["known"]
