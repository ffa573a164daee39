"""Ratios against bare Celery and others, on servers of its own: `python -m bench` (make bench)."""
