"""The rows of the page: what is judged, with what it must be and who measures it, and what stands beside it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.figures import Figures
from bench.rows import Target

FIRST_TOKEN_SECONDS = 0.5  # of the calls with faults; the frozen primary is met with the default of 10 s


@dataclass(frozen=True)
class Row:
    """A figure that is judged, and the measure that takes it. below: it must be less than the limit, not equal."""

    measure: str
    target: Target
    below: bool = False

    def must(self) -> str:
        """The limit as the page says it."""
        words = self.target.words(self.target.must)
        return words.replace("≤", "<") if self.below else words

    def verdict(self, figures: Figures) -> str:
        """Whether it is met."""
        if self.below and figures.median(self.target.figure) >= self.target.must:
            return "**not met**"
        return self.target.verdict(figures)


ADDED_MS = 2 * FIRST_TOKEN_SECONDS * 1000

JUDGED = (
    Row("faults", Target("faults_answered", "Faults: calls answered, %", 99.9, at_least=True)),
    Row("faults", Target("faults_added_p95_ms", "Faults: time added, p95, ms", ADDED_MS, digits=0)),
    Row("faults", Target("faults_wrong", "Faults: wrong or spliced answers", 0, digits=0, never=True)),
    Row("faults", Target("faults_apart", "Faults: tokens that the books are apart", 0, digits=0, never=True)),
    Row("faults", Target("met_answered", "Every fault met: calls answered, %", 99.9, at_least=True)),
    Row("faults", Target("met_added_p95_ms", "Every fault met: time added, p95, ms", ADDED_MS, digits=0)),
    Row("faults", Target("met_wrong", "Every fault met: wrong or spliced answers", 0, digits=0, never=True)),
    Row("faults", Target("met_apart", "Every fault met: tokens that the books are apart", 0, digits=0, never=True)),
    Row("death", Target("refuses_following_s", "Primary killed: the slowest call after it, s", 2)),
    Row("death", Target("refuses_bad", "Primary killed: calls without the right answer", 0, digits=0, never=True)),
    Row("death", Target("hangs_following_s", "Primary frozen: the slowest call after it, s", 60, digits=1)),
    Row("death", Target("hangs_in_flight_s", "Primary frozen: the slowest call in flight, s", 60, digits=1)),
    Row("death", Target("hangs_bad", "Primary frozen: calls without the right answer", 0, digits=0, never=True)),
    Row("overhead", Target("baton_chat_overhead_ms", "Overhead of a call, p50, ms", 3)),
    Row("overhead", Target("chat_over_litellm", "A call ÷ LiteLLM, p50", 1), below=True),
    Row("overhead", Target("stream_over_litellm", "A stream ÷ LiteLLM, p50", 1), below=True),
    Row("overhead", Target("import_over_litellm", "Import ÷ LiteLLM", 1), below=True),
    Row("overhead", Target("ready_over_litellm", "Import and first answer ÷ LiteLLM", 1), below=True),
    Row("overhead", Target("memory_over_litellm", "Memory after the first answer ÷ LiteLLM", 1), below=True),
    Row("caches", Target("l2_p50_ms", "A hit of L2, p50, ms", 1.5)),
    Row("caches", Target("l3_p50_ms", "A hit of L3 among 50,000, p50, ms", 15, digits=1)),
    Row("caches", Target("held_out_hits", "Paraphrases that hit, held out, %", 40, digits=0, at_least=True)),
    Row("caches", Target("held_out_false", "Near-misses that hit, held out", 0, digits=0, never=True)),
    Row("caches", Target("tune_false", "Near-misses that hit, the others", 0, digits=0, never=True)),
)

# Figure, what it is, digits.
BESIDE = (
    ("faults_first", "Faults: answered by the primary", 0),
    ("faults_second", "Faults: answered by the second", 0),
    ("faults_nobody", "Faults: answered by nobody", 0),
    ("faults_requests", "Faults: requests that reached the primary", 0),
    ("faults_faulty", "Faults: of them with a fault", 0),
    ("faults_added_p50_ms", "Faults: time added, p50, ms", 0),
    ("faults_added_max_ms", "Faults: time added, the most, ms", 0),
    ("faults_healthy_p50_ms", "Faults: a call on the healthy primary before, p50, ms", 0),
    ("met_first", "Every fault met: answered by the primary", 0),
    ("met_second", "Every fault met: answered by the second", 0),
    ("met_nobody", "Every fault met: answered by nobody", 0),
    ("met_requests", "Every fault met: requests that reached the primary", 0),
    ("met_faulty", "Every fault met: of them with a fault", 0),
    ("met_added_p50_ms", "Every fault met: time added, p50, ms", 0),
    ("met_added_max_ms", "Every fault met: time added, the most, ms", 0),
    ("refuses_in_flight_s", "Primary killed: the slowest call in flight, from the kill on, s", 2),
    ("refuses_calls", "Primary killed: calls after it", 0),
    ("hangs_calls", "Primary frozen: calls after it", 0),
    *(
        (f"{name}_{kind}_{threads}_{what}_ms", f"{whose}, {said}{many}, {what}, ms", 2)
        for kind, said in (("chat", "a call"), ("stream", "a stream"))
        for threads, many in ((1, " alone"), (8, " in 8 threads"))
        for name, whose in (("baton", "Baton"), ("litellm", "LiteLLM"))
        for what in ("p50", "p95")
    ),
    ("baton_bare_1_p50_ms", "httpx alone in Baton's process, a call alone, p50, ms", 2),
    ("litellm_bare_1_p50_ms", "httpx alone in LiteLLM's process, a call alone, p50, ms", 2),
    ("baton_bare_stream_1_p50_ms", "httpx alone in Baton's process, a stream alone, p50, ms", 2),
    ("litellm_bare_stream_1_p50_ms", "httpx alone in LiteLLM's process, a stream alone, p50, ms", 2),
    ("baton_stream_overhead_ms", "Baton, overhead of a stream, p50, ms", 2),
    ("litellm_chat_overhead_ms", "LiteLLM, overhead of a call, p50, ms", 2),
    ("litellm_stream_overhead_ms", "LiteLLM, overhead of a stream, p50, ms", 2),
    ("baton_import_ms", "Baton, import, ms", 0),
    ("litellm_import_ms", "LiteLLM, import, ms", 0),
    ("baton_first_ms", "Baton, from there to the first answer, ms", 0),
    ("litellm_first_ms", "LiteLLM, from there to the first answer, ms", 0),
    ("baton_memory_mb", "Baton, memory after the first answer, MB", 0),
    ("litellm_memory_mb", "LiteLLM, memory after the first answer, MB", 0),
    ("l1_p50_ms", "A hit of L1, p50, ms", 2),
    ("miss_p50_ms", "A miss of L1 and L2, p50, ms", 2),
    ("l2_p95_ms", "A hit of L2, p95, ms", 2),
    ("l3_p95_ms", "A hit of L3 among 50,000, p95, ms", 1),
    ("l3_small_p50_ms", "A hit of L3 in a scope of 500 of 100,000, p50, ms", 1),
    ("tune_hits", "Paraphrases that hit, the others, %", 0),
)
