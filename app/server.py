"""The WSGI application that gunicorn serves: `gunicorn -c app/gunicorn_conf.py app.server:app`."""

from __future__ import annotations

from app import create_app

__all__ = ["app", "create_app"]

app = create_app()
