"""The model gateway's caches by themselves: `python -m bench.model_cache [--entries 50000]`, some four minutes.

On servers of its own in a temporary folder, it measures one lookup, `gateway.cache.lookup.look`, end to end:

    l1, l2      a hit in the process, and in Redis
    miss        of an exact ask: what a cacheable call pays that no cache answers
    l3          a hit by meaning (misses L1 and L2 first, with the embedding) among so many entries in one scope
    l3 small    the same with as many entries again in a hundred scopes, so that each holds few

and says how many questions of evals/semantic_cache.yaml hit, rightly and falsely.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2
import psycopg2.extras
import yaml

from bench import servers

THRESHOLD = 0.92
REPEATS = 300
SCOPES = 100
BATCH = 512
EVALUATION = Path(__file__).parents[1] / "evals" / "semantic_cache.yaml"

VERBS = "reset change update recover share extend rename verify find print copy move archive restore replace merge"
NOUNS = "password account invoice address profile report token session printer license contract calendar folder form"
PLACES = (
    "in the app|on the phone|at the office|in the browser|on my laptop|for a colleague|for a customer|by script"
    "|as an administrator|from abroad|during a call|in the portal|with a card|by mail|through the assistant"
)
MANNERS = "quickly|safely|remotely|manually|automatically|properly|silently|carefully|directly|myself|twofold|centrally"
ENDS = "nowadays|in general|as a rule|at home|in practice|abroad|in detail|from scratch"


def main() -> None:
    """Measure, and print a line for each figure."""
    parser = argparse.ArgumentParser(description="The model gateway's caches by themselves.")
    parser.add_argument("--entries", type=int, default=50_000)
    entries = parser.parse_args().entries
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as folder:
        started = servers.start(Path(folder), task_events=False, log_level="WARNING")
        try:
            _exact()
            _by_meaning(started.owner_url, entries)
        finally:
            servers.stop(started)
    _evaluation()


def _exact() -> None:
    from gateway.backends.models_file import Configuration
    from gateway.cache import lookup as cache
    from gateway.request import Ask, Caller
    from storage.tables import uuid7

    caller, off = Caller(uuid7()), Configuration(())
    ask = Ask([{"role": "user", "content": "What is a honeypot? " * 20}], cache="exact")
    missed = cache.look(ask, caller, "m", off)
    assert isinstance(missed, cache.Miss)
    cache.keep(missed, cache.CachedAnswer("A trap for attackers. " * 50))
    _print("l1", _times(lambda _: cache.look(ask, caller, "m", off)))
    _print("l2", _times(lambda _: cache.look(ask, caller, "m", off), before=cache.forget))
    _print("miss", _times(lambda number: cache.look(ask, caller, f"m{number}", off)))


def _by_meaning(owner_url: str, entries: int) -> None:
    from gateway.backends.models_file import Configuration, SemanticCache
    from gateway.cache import lookup as cache
    from gateway.request import Ask, Caller
    from storage import tenants

    caller = Caller(tenants.create_tenant("bench"))
    on = Configuration((), semantic_cache=SemanticCache(True, THRESHOLD, 3600.0))
    dice = random.Random(1)

    def ask(question: str, system: str) -> Ask:
        told = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        return Ask(told, cache="semantic")

    def look(question: str, system: str) -> cache.Hit | cache.Miss:
        return cache.look(ask(question, system), caller, "m", on)

    phrases = _phrases(entries)
    began = time.perf_counter()
    missed = look(f"How do I {phrases[0]}?", "0")
    assert isinstance(missed, cache.Miss) and missed.question is not None, "pgvector is missing"
    rows = list(_rows(phrases, missed.question))
    _load(owner_url, caller.tenant_id, rows)
    print(f"{len(rows)} entries in {time.perf_counter() - began:.0f} s", flush=True)
    chosen = [dice.choice(phrases) for _ in range(REPEATS)]
    found: list[Any] = []
    _print("l3", _times(lambda n: found.append(look(f"Could you please tell me how I can {chosen[n]}", "0"))))
    print(f"l3: {sum(isinstance(one, cache.Hit) for one in found)} of {len(found)} hit")
    scopes = [look(f"How do I {phrases[0]}?", f"{number}") for number in range(1, SCOPES + 1)]
    _spread(owner_url, [one.question.scope for one in scopes if isinstance(one, cache.Miss) and one.question])
    _print("l3 small", _times(lambda n: look(f"How can I {chosen[n]}, please?", f"{1 + n % SCOPES}")))


def _phrases(entries: int) -> list[str]:
    """So many different things to do, without a word that would put one into a scope of its own."""
    parts = (VERBS.split(), NOUNS.split(), PLACES.split("|"), MANNERS.split("|"), ENDS.split("|"))
    every = [
        f"{verb} the {noun} {place} {manner} {end}" for verb, noun, place, manner, end in itertools.product(*parts)
    ]
    random.Random(0).shuffle(every)
    return every[:entries]


def _rows(phrases: list[str], first: Any) -> Iterator[tuple[Any, ...]]:
    from gateway.cache.wording import wording
    from gateway.wire import embeddings
    from storage.tables import uuid7

    for start in range(0, len(phrases), BATCH):
        said = [wording(f"How do I {phrase}?") for phrase in phrases[start : start + BATCH]]
        for one, vector in zip(said, embeddings.encode([each.text for each in said]), strict=True):
            if one.guard == first.wording.guard:
                answer = json.dumps({"text": " ".join(one.words), "tool_calls": []})
                kept = json.dumps({"words": one.words, "answer": answer})
                yield uuid7(), first.scope, hashlib.sha256(repr(one.words).encode()).digest(), vector, kept


def _load(owner_url: str, tenant_id: UUID, rows: list[tuple[Any, ...]]) -> None:
    """Insert, without the index by distance, which is made anew afterwards: four times as quick."""
    connection = psycopg2.connect(owner_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("DROP INDEX semantic_answers_near")
        psycopg2.extras.execute_values(
            cursor,
            "INSERT INTO semantic_answers (id, scope, question_hash, embedding, answer, tenant_id, expires_at)"
            " VALUES %s",
            rows,
            template=f"(%s, %s, %s, %s::real[], %s, '{tenant_id}', now() + interval '1 h')",
            page_size=BATCH,
        )
    connection.close()
    _index(owner_url)


def _spread(owner_url: str, scopes: list[bytes]) -> None:
    """The same entries once more, dealt out to these scopes."""
    connection = psycopg2.connect(owner_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("DROP INDEX semantic_answers_near")
        cursor.execute(
            "INSERT INTO semantic_answers (id, tenant_id, scope, question_hash, embedding, answer, expires_at)"
            " SELECT gen_random_uuid(), tenant_id, (%s::bytea[])[1 + row_number() OVER (ORDER BY id) %% %s],"
            " question_hash, embedding, answer, expires_at FROM semantic_answers",
            ([psycopg2.Binary(scope) for scope in scopes], len(scopes)),
        )
    connection.close()
    _index(owner_url)


def _index(owner_url: str) -> None:
    from sqlalchemy import create_engine

    from storage import semantic_cache
    from storage.postgres import driver_url

    engine = create_engine(driver_url(owner_url))
    with engine.connect() as connection:
        semantic_cache.ensure_index(connection)
        connection.exec_driver_sql("ANALYZE semantic_answers")
        connection.commit()
    engine.dispose()


def _times(call: Callable[[int], object], before: Callable[[], None] = lambda: None) -> list[float]:
    """Milliseconds of each of so many calls, after a few that do not count."""
    taken = []
    for number in range(REPEATS):
        before()
        began = time.perf_counter()
        call(number)
        taken.append((time.perf_counter() - began) * 1000)
    return taken[10:]


def _print(what: str, taken: list[float]) -> None:
    cuts = statistics.quantiles(taken, n=20)
    print(f"{what}: p50 {statistics.median(taken):.2f} ms, p95 {cuts[-1]:.2f} ms", flush=True)


def _evaluation() -> None:
    from gateway.cache.similarity import is_same
    from gateway.cache.wording import wording
    from gateway.wire import embeddings

    def closeness(one: str, other: str) -> float:
        left, right = embeddings.encode([one, other])
        return sum(a * b for a, b in zip(left, right, strict=True))

    pairs = yaml.safe_load(EVALUATION.read_text(encoding="utf-8"))
    for part in ("tune", "held_out"):
        counts: dict[str, list[bool]] = {"same": [], "different": []}
        alone: dict[str, list[bool]] = {"same": [], "different": []}
        for _, _, label, first, second in pairs[part]:
            one, other = wording(first), wording(second)
            near = closeness(one.text, other.text) >= THRESHOLD
            counts[label].append(near and is_same(one, other, closeness))
            alone[label].append(closeness(first, second) >= THRESHOLD)
        same, different = counts["same"], counts["different"]
        print(f"{part}: {sum(same)} of {len(same)} paraphrases hit, {sum(different)} of {len(different)} near misses")
        print(f"{part}, the encoder alone: {sum(alone['same'])} and {sum(alone['different'])}")


if __name__ == "__main__":
    main()
