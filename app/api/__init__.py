"""The API's calls, one blueprint a resource."""

from __future__ import annotations

from flask import Blueprint

PREFIX = "/api/v1"


def blueprint(name: str, module: str) -> Blueprint:
    """A blueprint under /api/v1."""
    return Blueprint(name, module, url_prefix=PREFIX)
