"""The contestant "bare Celery": chains of tasks that do nothing, results on, no durability.

Its settings are Baton's where both have a choice (JSON, pool, prefetch, late acks, events, log level) and Celery's own
elsewhere. `celery -A bench.bare worker ...`
"""

from __future__ import annotations

import os

from celery import Celery

app = Celery("bare", broker=os.environ["BENCH_BARE_BROKER"], backend=os.environ["BENCH_BARE_RESULTS"])
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_default_queue="bare",
    broker_transport_options={"visibility_timeout": 12 * 3600},
    broker_connection_retry_on_startup=True,
    result_expires=3600,
)


@app.task(name="bare.work")  # type: ignore[untyped-decorator]
def work() -> dict[str, str]:
    """What a probe node returns without a payload: an empty object."""
    return {}
