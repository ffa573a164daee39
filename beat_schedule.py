"""What fires when: pure data, read by `celeryconfig.py`. Times are UTC.

A slot (schedule, minute) is a unique row in Postgres: however many beats run, it fires once (tasks/beat.py).
"""

from celery.schedules import crontab

SCHEDULE = {
    "partitions": {"task": "upkeep.partitions", "schedule": crontab(minute="17", hour="2")},
    "retention": {"task": "upkeep.retention", "schedule": crontab(minute="*/15")},
}
