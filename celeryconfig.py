"""Celery's settings: JSON only, late acks, queues by kind of work, a broker that may freeze without freezing us.

Celery is the engine, Postgres is the truth: no results of nodes, no retries of sends, no ETA. Where a value looks
unusual, the comment says which failure it was chosen against (docs/adr/0002-celery-settings.md).
"""

from kombu import Exchange, Queue

from beat_schedule import SCHEDULE
from chains.queues import AGENTS, QUEUES
from settings import settings

broker_url = settings().redis_url
result_backend = settings().redis_url
if broker_url.startswith(("redis://", "rediss://")):
    broker_transport = "storage.redis_transport:Transport"

# The anonymous exchange routes by queue name: there is no binding in Redis that a FLUSHALL could take away.
task_queues = tuple(Queue(name, Exchange("", type="direct"), routing_key=name) for name in QUEUES)
task_default_queue = AGENTS
task_default_exchange = ""
task_default_routing_key = AGENTS
task_create_missing_queues = False

task_serializer = result_serializer = event_serializer = "json"
accept_content = result_accept_content = ["json"]

task_acks_late = True
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1
task_ignore_result = True
task_store_errors_even_if_ignored = False
task_publish_retry = False
task_track_started = False
worker_hijack_root_logger = False
worker_redirect_stdouts = False
worker_send_task_events = settings().task_events
worker_cancel_long_running_tasks_on_connection_loss = False
worker_enable_remote_control = True
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
event_queue_ttl = 60.0
event_queue_expires = 120.0
result_expires = 24 * 3600

# A visibility timeout shorter than a task makes Redis deliver it again while it runs: 12 h, only a backstop.
VISIBILITY_SECONDS = 12 * 3600
broker_transport_options = {
    "visibility_timeout": VISIBILITY_SECONDS,
    "socket_timeout": settings().send_timeout_seconds,
    "socket_connect_timeout": settings().send_timeout_seconds,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "retry_on_timeout": False,
    # One list a queue: with kombu's four priorities a worker would name four each time that it waits.
    "priority_steps": [0],
    # JSON goes as it is: base64 would make a segment's message a fifth larger (5.4 KB for eight links).
    "body_encoding": None,
}
result_backend_transport_options = {"visibility_timeout": VISIBILITY_SECONDS, "retry_policy": {"max_retries": 0}}
visibility_timeout = VISIBILITY_SECONDS
redis_socket_timeout = settings().send_timeout_seconds
redis_socket_connect_timeout = settings().send_timeout_seconds
redis_retry_on_timeout = False
timezone = "UTC"
enable_utc = True

beat_schedule = SCHEDULE
beat_scheduler = "tasks.beat:SlotScheduler"
beat_max_loop_interval = 5
