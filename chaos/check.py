"""The checker: reads the database and the counting server afterwards, and counts what must not be.

Every count of `violations` has to be 0; `figures` are for information. Pure SQL over what was accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg2.extensions import connection as Connection

from chaos.effect_server import EffectServer
from chaos.faults import Struck
from chaos.load import Tally

MAX_SECONDS_P95 = 10.0
ENOUGH = 20  # of fewer the p95 is the worst of them, which a busy machine makes at will

# Each statement gives the rows that must not be; %(runs)s are the accepted runs.
NEVER = {
    "accepted runs that are not there": """
        SELECT id FROM unnest(%(runs)s::uuid[]) AS a(id) WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = a.id)""",
    "runs without a final state": """
        SELECT id, status, stop FROM runs WHERE status NOT IN ('completed', 'failed', 'cancelled')""",
    "runs that did not complete": "SELECT id, status, error::text FROM runs WHERE status IN ('failed', 'cancelled')",
    "runs without exactly one final event, the last one": """
        SELECT r.id FROM runs r JOIN events e ON e.run_id = r.id GROUP BY r.id
        HAVING count(*) FILTER (WHERE e.type IN ('run_completed', 'run_failed', 'run_cancelled')) <> 1
            OR max(e.seq) FILTER (WHERE e.type IN ('run_completed', 'run_failed', 'run_cancelled')) <> max(e.seq)""",
    "runs nobody accepted": "SELECT id FROM runs WHERE NOT id = ANY (%(runs)s::uuid[])",
    "steps with more than one committed result": """
        SELECT run_id, step FROM events WHERE type = 'step_succeeded' GROUP BY run_id, step HAVING count(*) > 1""",
    "results without a row, or rows without their result": """
        SELECT e.run_id, e.step, s.key FROM (SELECT * FROM events WHERE type = 'step_succeeded') e
        FULL JOIN (SELECT * FROM steps WHERE status = 'succeeded') s ON s.run_id = e.run_id AND s.key = e.step
        WHERE e.step IS NULL OR s.key IS NULL""",
    "versions that are not 1..n": """
        SELECT r.id FROM runs r JOIN steps s ON s.run_id = r.id AND s.status = 'succeeded' GROUP BY r.id, r.done
        HAVING min(s.version) <> 1 OR max(s.version) <> count(*) OR count(DISTINCT s.version) <> count(*)
            OR r.done <> count(*)""",
    "writes with a stale token": """
        SELECT e.run_id, e.step, e.seq FROM events e
        JOIN events won ON won.run_id = e.run_id AND won.step = e.step AND won.type = 'step_succeeded'
        JOIN steps s ON s.run_id = e.run_id AND s.key = e.step
        WHERE e.type LIKE 'step%%'
          AND (e.seq > won.seq OR (e.data ->> 'attempt')::int > s.attempt
               OR (won.data ->> 'attempt')::int <> s.attempt)""",
    "runs with a gap in their events": """
        SELECT r.id FROM runs r LEFT JOIN events e ON e.run_id = r.id GROUP BY r.id, r.seq
        HAVING count(*) <> max(e.seq) OR min(e.seq) <> 1 OR count(DISTINCT e.seq) <> count(*) OR r.seq <> count(*)""",
    "segments left open or leased": "SELECT run_id, no FROM segments WHERE open OR worker IS NOT NULL AND open",
    "effects without a result": "SELECT key, status FROM effects WHERE status <> 'done'",
    "pauses for another reason than an at-most-once effect": """
        SELECT e.run_id, e.data::text FROM events e WHERE e.type = 'run_paused' AND NOT EXISTS (
            SELECT 1 FROM effects f WHERE f.run_id = e.run_id AND f.step = e.step AND f.kind = 'at_most_once')""",
}

FIGURES = {
    "runs": "SELECT count(*) FROM runs",
    "steps succeeded": "SELECT count(*) FROM steps WHERE status = 'succeeded'",
    "steps rescued": "SELECT count(*) FROM events WHERE type = 'step_rescued'",
    "steps that lost their worker twice": "SELECT count(*) FROM steps WHERE losses = 2",
    "messages sent again": "SELECT coalesce(sum(sends - 1), 0) FROM segments WHERE sends > 1",
    "events": "SELECT count(*) FROM events",
    "effects at most once": "SELECT count(*) FROM effects WHERE kind = 'at_most_once'",
    "effects idempotent": "SELECT count(*) FROM effects WHERE kind = 'idempotent'",
    "pauses for a person": "SELECT count(*) FROM events WHERE type = 'run_paused'",
}


@dataclass
class Report:
    """violations: name -> (count, examples); figures: name -> value."""

    violations: dict[str, tuple[int, list[Any]]] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(count for count, _ in self.violations.values())

    def add(self, name: str, found: Sequence[Any]) -> None:
        self.violations[name] = (len(found), [str(one) for one in found[:5]])

    def text(self) -> str:
        """The counts, as they are printed."""
        lines = [f"{name:<60} {value}" for name, value in self.figures.items()]
        lines.append("")
        for name, (count, examples) in self.violations.items():
            lines.append(f"{name:<60} {count}")
            lines += [f"    {one}" for one in examples]
        return "\n".join([*lines, "", f"{'VIOLATIONS' if self.count else 'violations':<60} {self.count}"])


def check(
    db: Connection, tally: Tally, effects: EffectServer, struck: Sequence[Struck], queued: dict[str, int]
) -> Report:
    """Look at everything. queued: messages left in each queue."""
    report = Report()
    runs = list(tally.accepted)
    with db.cursor() as cursor:
        for name, sql in FIGURES.items():
            cursor.execute(sql)
            report.figures[name] = cursor.fetchone()[0]  # type: ignore[index]
        for name, sql in NEVER.items():
            cursor.execute(sql, {"runs": runs})
            report.add(name, cursor.fetchall())
    report.add("requests that were not accepted", tally.refused)
    report.add("messages left in a queue", [f"{name}: {count}" for name, count in queued.items() if count])
    report.add(
        "questions that were not about an effect", [one for one in tally.answers if one.startswith(("un", "refused"))]
    )
    _check_steps(db, tally, report)
    _check_effects(db, effects, report)
    _check_times(db, struck, report)
    report.figures |= {f"person said: {what}": count for what, count in sorted(tally.answers.items())}
    report.figures["requests sent again"] = tally.retries
    return report


def _check_steps(db: Connection, tally: Tally, report: Report) -> None:
    with db.cursor() as cursor:
        cursor.execute("SELECT run_id::text, array_agg(key) FROM steps WHERE status = 'succeeded' GROUP BY run_id")
        done = {run_id: set(keys) for run_id, keys in cursor.fetchall()}
    wrong = [run_id for run_id, wanted in tally.accepted.items() if done.get(run_id, set()) != wanted.steps]
    report.add("runs whose steps are not those of their chain", wrong)


def _check_effects(db: Connection, effects: EffectServer, report: Report) -> None:
    """The ledger against what the other side counted."""
    with db.cursor() as cursor:
        cursor.execute("SELECT key, run_id::text, step, kind FROM effects")
        ledger = {key: (run_id, step, kind) for key, run_id, step, kind in cursor.fetchall()}
    posts = effects.snapshot()
    once = [
        (key, len(posts[key]))
        for key, row in ledger.items()
        if row[2] == "at_most_once" and len(posts.get(key, ())) > 1
    ]
    report.add("at-most-once effects that happened more than once", once)
    report.add("posts under a key that the ledger does not have", [key for key in posts if key not in ledger])
    keys: dict[tuple[str, str], set[str]] = {}
    for key, bodies in posts.items():
        for body in bodies:
            keys.setdefault((body["run_id"], body["step"]), set()).add(key)
    report.add("effects under more than one key", [where for where, found in keys.items() if len(found) > 1])
    report.add("idempotent effects that never arrived", [
        key for key, row in ledger.items() if row[2] == "idempotent" and not posts.get(key)
    ])  # fmt: skip
    again = sum(len(bodies) > 1 for key, bodies in posts.items() if ledger.get(key, ("", "", ""))[2] == "idempotent")
    report.figures["idempotent effects sent again under their key"] = again


def _check_times(db: Connection, struck: Sequence[Struck], report: Report) -> None:
    """From a kill, a freeze or a dropped message to the next event of the run."""
    seconds: dict[str, list[float]] = {"kill": [], "freeze": [], "message": []}
    with db.cursor() as cursor:
        for one in struck:
            cursor.execute(
                "SELECT extract(epoch FROM min(at) - %s)::float8 FROM events WHERE run_id = %s AND at > %s",
                (one.at, one.run_id, one.at),
            )
            row = cursor.fetchone()
            if row and row[0] is not None:
                seconds[one.kind].append(row[0])
    for kind, found in seconds.items():
        found.sort()
        p95 = found[max(0, -(-len(found) * 95 // 100) - 1)] if found else 0.0
        told = (
            f"n={len(found)} median={found[len(found) // 2]:.1f} p95={p95:.1f} max={found[-1]:.1f}" if found else "n=0"
        )
        report.figures[f"seconds from a {kind} to the run's next event"] = told
        if kind == "kill":
            slow = len(found) >= ENOUGH and p95 > MAX_SECONDS_P95
            report.add(f"p95 from a kill above {MAX_SECONDS_P95:.0f} s", [p95] if slow else [])
