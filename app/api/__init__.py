"""The API's calls, one blueprint a resource."""

from __future__ import annotations

from flask import Blueprint

PREFIX = "/api/v1"


class Resource(Blueprint):
    """The calls of one resource. open_to_all: they need no API key (app/auth.py says so too)."""

    open_to_all = False


def blueprint(name: str, module: str, *, open_to_all: bool = False) -> Resource:
    """A blueprint under /api/v1."""
    made = Resource(name, module, url_prefix=PREFIX)
    made.open_to_all = open_to_all
    return made
