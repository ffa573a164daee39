"""Holds every request to its tenant's limits, right after the door, and tells what is left in the answer's headers.

A request of a limited tenant that the door lets in counts, whatever it asks and however it ends; health, metrics,
documents and logins belong to no tenant. The headers are those of draft-ietf-httpapi-ratelimit-headers of the IETF:

    RateLimit-Policy: "burst";q=5;w=1, "requests_per_minute";q=20;w=60
    RateLimit: "burst";r=4;t=1, "requests_per_minute";r=11;t=42
    Baton-Quota-Warning: requests_per_minute                           from 80 % of a limit on
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from flask import Flask, Response, g, request

from app import auth
from policy import limiter, plans, tenant_limits
from policy.limiter import Entered, Standing

BYTES_A_TOKEN = 3  # three Latin letters, or one Chinese character: what gateway.request.estimated_tokens counts
WARNING = "Baton-Quota-Warning"
_VARIABLE = re.compile(r"<(?:[^<>:]+:)?([^<>]+)>")


def register(app: Flask) -> None:
    """Hold requests to the limits. Raises InvalidPlans where the plans cannot be read, so that nothing starts then."""
    plans.all_plans()
    app.before_request(_enter)
    app.after_request(_tell)


def _enter() -> None:
    if "principal" not in g:
        return
    tenant_id = auth.tenant_id()
    g.entered = limiter.enter(tenant_id, tenant_limits.of(tenant_id), tokens=_tokens())
    if g.entered.refused is not None:
        raise g.entered.refused


def _tell(response: Response) -> Response:
    entered: Entered | None = g.get("entered")
    if entered is None:
        return response
    if entered.standings:
        response.headers["RateLimit-Policy"] = ", ".join(map(_policy, entered.standings))
        response.headers["RateLimit"] = ", ".join(map(_left, entered.standings))
    if entered.near:
        response.headers[WARNING] = ", ".join(entered.near)
    return response


def _tokens() -> int | None:
    """The tokens of the request's text as its operation counts them; None for one that spends none.

    By its length, so that nothing is read before the limits let it in. A body sent in chunks tells none: what models
    use of it is counted all the same.
    """
    if request.method in ("GET", "HEAD", "OPTIONS") or request.url_rule is None:
        return None
    multiplier = plans.cost_multiplier(f"{request.method} {_path(request.url_rule.rule)}")
    return None if multiplier is None else math.ceil((request.content_length or 0) / BYTES_A_TOKEN * multiplier)


@lru_cache(maxsize=512)
def _path(rule: str) -> str:
    """A route as OpenAPI writes it: /runs/<uuid:run_id> is /runs/{run_id}."""
    return _VARIABLE.sub(r"{\1}", rule)


def _policy(standing: Standing) -> str:
    unit = ';qu="tokens"' if standing.name == limiter.TOKENS else ""
    return f'"{standing.name}";q={standing.limit};w={standing.seconds}{unit}'


def _left(standing: Standing) -> str:
    return f'"{standing.name}";r={standing.remaining};t={math.ceil(standing.resets_in_seconds)}'
