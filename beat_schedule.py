"""What fires when: pure data, read by `celeryconfig.py`. Times are UTC.

A slot (schedule, minute) is a unique row in Postgres: however many beats run, it fires once (tasks/beat.py).
"""

from celery.schedules import crontab

from chains.queues import MAINTENANCE

QUEUE = {"queue": MAINTENANCE}

SCHEDULE = {
    "partitions": {"task": "upkeep.partitions", "schedule": crontab(minute="17", hour="2"), "options": QUEUE},
    "retention": {"task": "upkeep.retention", "schedule": crontab(minute="*/15"), "options": QUEUE},
    "lost_calls": {"task": "upkeep.lost_calls", "schedule": crontab(minute="*/5"), "options": QUEUE},
    "identity": {"task": "upkeep.identity", "schedule": crontab(minute="7"), "options": QUEUE},
    "audit_anchors": {"task": "upkeep.audit_anchors", "schedule": crontab(minute="50", hour="23"), "options": QUEUE},
}
