"""What a tenant may use by plan, and what an operation costs: reads and checks `plans.yaml`.

    limits_of("starter", {"max_sessions": 500}, settings())      a plan with a tenant's own limits above it
    validate_overrides({"max_sesions": 500})                     InvalidInput: did you mean max_sessions?

A wrong file stops whoever reads it, and the front end reads it at its start: `InvalidPlans` names line and field. Where
a tenant stands now is `policy/tenant_limits.py`; who holds it to its limits, docs/limits.md.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from errors import FieldError, InvalidInput
from settings import Settings
from storage import yaml_lines
from storage.yaml_lines import Document, Mistake, path_of

FILE = Path(__file__).with_name("plans.yaml")
UNLIMITED = "unlimited"
NAMES = (UNLIMITED, "starter", "professional", "enterprise")
LARGEST = 2**53  # numbers that Redis' Lua counts exactly


class InvalidPlans(ValueError):
    """`plans.yaml` is wrong; the message has a line for each mistake: its line, field and what is wrong."""


@dataclass(frozen=True)
class Limits:
    """What a tenant may use; None: no limit.

    qps: requests a second on average over qps_window_seconds; burst: requests in any one second; tokens: of the
    requests' texts and of models together; max_concurrent, max_waiting: runs that hold a slot, and that wait for one;
    allowed_models: patterns of names of models or backends; weight: share of free slots; alert_threshold: the share of
    a limit from which on a tenant is warned.
    """

    max_concurrent: int | None = None
    max_waiting: int | None = None
    qps: float | None = None
    qps_window_seconds: int = 1
    burst: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    max_sessions: int | None = None
    max_documents: int | None = None
    allowed_models: tuple[str, ...] | None = None
    weight: int = 1
    alert_threshold: float = 0.8


def _positive_or_none(value: float) -> float:
    if value != -1 and not (math.isfinite(value) and 0.001 <= value <= LARGEST):
        raise ValueError("must be a number from 0.001 on, or -1 for no limit")
    return value


def _one_or_none(value: int) -> int:
    if value == 0:
        raise ValueError("must be at least 1, or -1 for no limit")
    return value


Count = Annotated[int, Field(ge=-1, le=LARGEST), AfterValidator(_one_or_none)]


class Overrides(BaseModel):
    """Limits as they are written down, in the file or for a tenant: -1 is no limit, what is absent or null not said."""

    model_config = ConfigDict(extra="forbid", strict=True)

    max_concurrent: Count | None = None
    max_waiting: Count | None = None
    qps: Annotated[float, AfterValidator(_positive_or_none)] | None = None
    qps_window_seconds: int | None = Field(None, ge=1, le=86_400)
    burst: Count | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    tokens_per_day: Count | None = None
    max_sessions: Count | None = None
    max_documents: Count | None = None
    allowed_models: list[Annotated[str, Field(min_length=1, max_length=255)]] | None = Field(None, max_length=1000)
    weight: int | None = Field(None, ge=1, le=1000)
    alert_threshold: float | None = Field(None, gt=0, le=1)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    plans: dict[str, Overrides]
    cost_multipliers: dict[
        Annotated[str, Field(pattern=r"^(POST|PUT|PATCH|DELETE) /\S+$")],
        Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)],
    ]


def all_plans() -> dict[str, Limits]:
    """The limits of every plan by its name. Raises InvalidPlans."""
    return {UNLIMITED: Limits(), **{name: _above(Limits(), plan) for name, plan in _read().plans.items()}}


def cost_multiplier(operation: str) -> float | None:
    """What the text of a request costs, as a multiple of its tokens; None: it spends none.

    operation: method and path as in OpenAPI, such as `POST /api/v1/agents/{agent_id}/runs`.
    """
    return cost_multipliers().get(operation)


def cost_multipliers() -> dict[str, float]:
    """The same of all operations that spend tokens."""
    return _read().cost_multipliers


def limits_of(plan: str, overrides: Mapping[str, Any] | None, settings: Settings) -> Limits:
    """The limits of a tenant: its plan's, those that the settings give, and its own, the later above the earlier.

    overrides: as `validate_overrides` lets them pass. Raises InvalidInput for others, and for a plan there is not.
    """
    if plan not in NAMES:
        raise _wrong("plan", f"is none of {', '.join(NAMES)}{_nearest(plan, NAMES)}")
    of_settings = Overrides(
        qps=float(settings.core_rate_qps_per_tenant) or None,
        tokens_per_minute=settings.core_rate_tokens_per_min or None,
    )
    return _above(_above(all_plans()[plan], of_settings), _validated(overrides or {}))


def validate_overrides(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A tenant's own limits as they are stored, without those that say nothing. InvalidInput names each wrong field."""
    given = _validated(overrides).model_dump(exclude_none=True)
    if "weight" in given:
        raise _wrong("limits.weight", "is no limit of a tenant: set the tenant's own `weight`, beside `limits`")
    return given


def rows() -> list[tuple[str, ...]]:
    """The plans as a table: each limit's name and its value by plan; for docs/limits.md."""
    plans = all_plans()
    named = [name for name in NAMES if name != UNLIMITED]
    found = []
    for field in fields(Limits):
        values = [getattr(plans[name], field.name) for name in named]
        found.append((field.name, *(_shown(value) for value in values)))
    return found


def _shown(value: Any) -> str:
    if value is None:
        return "no limit"
    if isinstance(value, tuple):
        return ", ".join(f"`{pattern}`" for pattern in value)
    return f"{value:,g}" if isinstance(value, float) else f"{value:,}"


def _above(limits: Limits, given: Overrides) -> Limits:
    """The limits with what is given in their place."""
    said = given.model_dump(exclude_none=True)
    if "allowed_models" in said:
        said["allowed_models"] = tuple(said["allowed_models"])
    changed: dict[str, Any] = {name: None if value == -1 else value for name, value in said.items()}
    return replace(limits, **changed)


def _validated(overrides: Mapping[str, Any]) -> Overrides:
    if not isinstance(overrides, Mapping):
        raise _wrong("limits", "must be an object")
    if unknown := [str(name) for name in overrides if name not in Overrides.model_fields]:
        found = [FieldError(field=f"limits.{one}", message=f"is unknown{_nearest(one)}") for one in unknown]
        raise InvalidInput("; ".join(f"{one['field']} {one['message']}" for one in found), errors=found)
    try:
        return Overrides.model_validate(dict(overrides))
    except ValidationError as error:
        wrong = [(".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")) for one in error.errors()]
        found = [FieldError(field=f"limits.{place}", message=message) for place, message in wrong]
        raise InvalidInput("; ".join(f"{one['field']}: {one['message']}" for one in found), errors=found) from None


def _wrong(field: str, message: str) -> InvalidInput:
    return InvalidInput(f"{field} {message}", errors=[FieldError(field=field, message=message)])


def _nearest(name: str, names: Any = Overrides.model_fields) -> str:
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f", did you mean {near[0]}?" if near else ""


@cache
def _read() -> _File:
    return read(FILE.read_bytes())


def read(raw: bytes) -> _File:
    """The file's content, checked: every plan says every limit, so that none is forgotten. Raises InvalidPlans."""
    try:
        document = yaml_lines.read(raw)
        mistakes, given = [*document.doubled], None
        try:
            given = _File.model_validate(document.value)
        except ValidationError as error:
            mistakes += [_of_form(document, one) for one in error.errors(include_url=False)]
        if given is not None:
            mistakes += _of_content(document, given)
    except yaml_lines.Unreadable as wrong:
        mistakes, given = [*wrong.mistakes], None
    if given is None or mistakes:
        raise InvalidPlans("\n".join(f"{FILE.name}:{mistake.line}: {mistake}" for mistake in sorted(mistakes)))
    return given


def _of_form(document: Document, error: Any) -> Mistake:
    place, message = error["loc"], error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        names = Overrides.model_fields if len(place) > 1 else _File.model_fields
        message = f"there is no such field{_nearest(str(place[-1]), names)}"
    return Mistake(document.line(place), path_of(place), message)


def _of_content(document: Document, given: _File) -> list[Mistake]:
    """What is wrong although its form is right: plans and limits that are missing, or that nobody knows."""
    named = set(NAMES) - {UNLIMITED}
    found = [Mistake(document.line(("plans",)), f"plans.{name}", "is missing") for name in named - set(given.plans)]
    for name, plan in given.plans.items():
        place = ("plans", name)
        if name not in named:
            found.append(Mistake(document.line(place), path_of(place), f"there is no such plan{_nearest(name, named)}"))
        for limit in Overrides.model_fields:
            if getattr(plan, limit) is None:
                found.append(Mistake(document.line(place), path_of((*place, limit)), "is missing"))
    return found
