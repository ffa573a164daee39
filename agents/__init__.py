"""The nodes: what each agent thinks. Plain functions, one file a node; they know no Celery, Flask or SQL."""
