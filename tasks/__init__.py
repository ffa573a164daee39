"""What runs in a worker: the Celery app, the life of a node, the keeper and its sweep.

celery -A tasks worker --pool threads      the Procfile's `worker`
celery -A tasks beat                       its `beat`
"""

from tasks.celery_app import make_app

app = make_app()

from tasks import control, lifecycle, upkeep  # noqa: E402  (they hang themselves on the app)

__all__ = ["app", "control", "lifecycle", "upkeep"]
