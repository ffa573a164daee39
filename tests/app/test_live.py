"""The hub of live viewers: bounded queues, and looks at Postgres instead of hints."""

from __future__ import annotations

from uuid import UUID, uuid4

from storage.live import QUEUE_MESSAGES, READ, Hub, Message, Viewer
from tests.app.rows import MakeRun, add_events


def test_a_viewer_that_does_not_read_loses_hints_but_no_events() -> None:
    viewer = Viewer(uuid4(), 0)
    for seq in range(1, QUEUE_MESSAGES + 100):
        viewer.put(Message(event={"seq": seq}))
    kept = [viewer.get(0) for _ in range(QUEUE_MESSAGES)]
    assert [message.event["seq"] for message in kept if message and message.event] == list(range(1, QUEUE_MESSAGES + 1))
    # After what it has, it is told to read the rest, once
    assert viewer.get(0) is READ
    assert viewer.get(0) is None


def test_one_look_brings_what_every_viewer_missed(tenant: UUID, make_run: MakeRun) -> None:
    hub = Hub()
    runs = [make_run("running", events=2) for _ in range(3)]
    with hub.watch(tenant, runs[0], 2) as first, hub.watch(tenant, runs[0], 1) as late, hub.watch(tenant, runs[1], 2):
        add_events(runs[0], tenant, ["step_succeeded"])
        add_events(runs[2], tenant, ["step_succeeded"])
        assert hub._look_once() is False

        def seqs(viewer: Viewer) -> set[int]:
            got: set[int] = set()
            while (message := viewer.get(0.05)) is not None:
                got |= {message.event["seq"]} if message.event else set()
            return got

        assert seqs(first) == {3}
        assert seqs(late) == {2, 3}
    assert hub.viewers == 0
