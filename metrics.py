"""Every metric of the product in one place; imports only prometheus_client.

With PROMETHEUS_MULTIPROC_DIR set (as `manage.py up` does) each process counts into files of that folder, and the web
process adds them up at `/metrics`. What can be read from Postgres (queue depth, ages) is not counted here: the web
process measures it when it is scraped, see `app/api/metrics.py`.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

RUNS = Counter("agent_run", "Runs that reached a final status", ["agent_id", "status"])
"""Names of the first two come from the product's source documents: `agent_run_total`, `agent_token_usage`."""
TOKENS = Counter("agent_token_usage", "Tokens that models read and wrote", ["agent_id", "model_name"])

MODEL_CALLS = Counter("baton_model_calls", "Tries at models, by how they ended", ["backend", "outcome"])
MODEL_FALLBACKS = Counter("baton_model_fallbacks", "Requests that went on to the next, after a failure", ["from", "to"])
MODEL_FIRST_TOKEN_SECONDS = Histogram(
    "baton_model_first_token_seconds", "From asking a model to its first token", ["backend"], buckets=_SECONDS
)
CACHE_LOOKUPS = Counter("baton_model_cache_lookups", "Model calls looked up in a cache", ["level", "outcome"])

TENANT_RUNS = Counter("baton_tenant_runs", "Runs of a tenant, accepted and by final status", ["tenant", "status"])
TENANT_TOKENS = Counter("baton_tenant_tokens", "Tokens that models read and wrote for a tenant", ["tenant"])

RUNS_ACCEPTED = Counter("baton_runs_accepted", "Runs answered with 202", ["chain"])
STEP_SECONDS = Histogram(
    "baton_step_seconds", "From a step's claim to its commit", ["node", "status"], buckets=_SECONDS
)
RETRIES = Counter("baton_step_retries", "Steps that failed and were planned again", ["node"])
LOSSES = Counter("baton_step_losses", "Steps whose worker died or whose deadline passed", ["node"])
RESCUES = Counter("baton_step_rescues", "Segments that the sweep set going again", ["reason"])
POISON = Counter("baton_step_poison", "Steps set aside after too many losses", ["node"])
SENDS = Counter("baton_sends", "Segments sent to the broker")
SENDS_FAILED = Counter("baton_sends_failed", "Sends that the broker did not take; the sweep sends them again")
FENCED = Counter("baton_commits_fenced", "Commits that wrote nothing because the lease had gone to another", ["node"])
SWEEP_SECONDS = Histogram("baton_sweep_seconds", "One sweep of the keeper", buckets=_SECONDS)

LOGINS = Counter("baton_logins", "Logins and refreshed logins, by how they ended", ["way", "outcome"])

HTTP_SECONDS = Histogram(
    "baton_http_request_seconds", "HTTP requests, to the first byte", ["method", "route", "status"], buckets=_SECONDS
)
REQUESTS_LIMITED = Counter("baton_requests_limited", "Requests answered with 429, by the limit", ["tenant", "reason"])
QUOTA_WARNINGS = Counter("baton_quota_warnings", "A tenant came near a limit, once a window", ["tenant", "resource"])
RATE_LIMITS_LOCAL = Counter("baton_rate_limits_local", "Requests counted in the process alone: Redis did not answer")
VIEWERS = Gauge("baton_viewers", "Open live streams", ["kind"], multiprocess_mode="livesum")
EVENTS_DELIVERED = Counter("baton_events_delivered", "Events written to live streams", ["kind"])
VIEWERS_DROPPED = Counter("baton_viewers_dropped", "Live streams closed because the client did not read", ["kind"])

TENANTS_TOLD_APART = 1000
_tenants: set[str] = set()


def tenant(tenant_id: object) -> str:
    """The label of a tenant: its id, for the first thousand that a process meets; after that `other`, None: `none`.

    Every label is a series that Prometheus keeps, so their number needs a bound.
    """
    if tenant_id is None:
        return "none"
    label = str(tenant_id)
    if label not in _tenants:
        if len(_tenants) >= TENANTS_TOLD_APART:
            return "other"
        _tenants.add(label)
    return label
