"""The front end: HTTP, server-sent events, WebSocket, and who may enter.

from app import create_app
app = create_app()
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def create_app() -> Flask:
    """The WSGI application, configured from `settings`."""
    from app.factory import create

    return create()


@cache
def version() -> str:
    """The product's version: what the file VERSION says."""
    file = Path(__file__).parent.parent / "VERSION"
    return file.read_text(encoding="utf-8").strip() if file.is_file() else "0.0.0"
