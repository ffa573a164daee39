"""What gunicorn answers to a request that is no HTTP: a problem as well, where its own answer would be a page."""

from __future__ import annotations

import json
from typing import Any

from gunicorn import util

from app.headers import SECURITY


def problem(sock: Any, status_int: int, reason: str, mesg: str) -> None:
    """Write the answer for a request that never reached the application."""
    code = "bad_request" if status_int < 500 else "internal_error"
    body = {
        "type": f"urn:baton:problem:{code}",
        "title": reason,
        "status": status_int,
        "detail": mesg or reason,
        "code": code,
        "errors": [],
    }
    text = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status_int} {reason}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(text)}\r\n"
    )
    head += "".join(f"{name}: {value}\r\n" for name, value in SECURITY.items()) + "\r\n"
    util.write_nonblock(sock, head.encode("latin-1") + text)


def install() -> None:
    """Take the place of gunicorn's own."""
    util.write_error = problem
