"""What model calls used, and what of today's budget is left."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from app.schemas.common import Out, Page, PageQuery, Time

GROUPS = ("day", "model", "chain", "agent")


def _iso_day(given: Any) -> Any:
    """pydantic would take a number for a time."""
    if isinstance(given, str) and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", given):
        raise ValueError("must be a day such as 2026-11-20")
    return given


Day = Annotated[datetime.date, BeforeValidator(_iso_day)]


class UsageQuery(PageQuery):
    """Which calls, and how they are put together."""

    first: Day | None = Field(None, alias="from", description="first UTC day; default: 29 days before the last")
    last: Day | None = Field(None, alias="to", description="last UTC day; default: today")
    by: str = Field("day", description="what to sum by, one or several with commas: day, model, chain, agent")

    @field_validator("by")
    @classmethod
    def _known(cls, given: str) -> str:
        names = given.split(",")
        if not set(names) <= set(GROUPS) or len(names) != len(set(names)):
            raise ValueError(f"must be one or several of {', '.join(GROUPS)}, each once, with commas")
        return given


class Sums(Out):
    """What calls used. `calls` are all of them; of these some were answered by a cache, some failed."""

    calls: int
    cached: int
    failed: int
    tokens_in: int
    tokens_out: int
    cost: str = Field(description="a decimal number, in the currency of the prices of the models file")
    estimated_calls: int = Field(description="calls whose tokens no provider told")


class UsageItem(Sums):
    """The same of one group: it has the fields that it was summed by."""

    day: datetime.date | None = None
    model: str | None = None
    chain: str | None = None
    agent_id: str | None = None


class TokenBudget(Out):
    """Tokens of today; `limit` null: there is none."""

    limit: int | None
    used: int
    reserved: int = Field(description="by calls in flight")


class MoneyBudget(Out):
    """Money of today, as decimal numbers; `limit` null: there is none."""

    limit: str | None
    used: str
    reserved: str = Field(description="by calls in flight")


class Budget(Out):
    """What may be used on this UTC day, and what is."""

    tokens: TokenBudget
    money: MoneyBudget


class Quota(Out):
    """One limit, and how much of it is used."""

    limit: int | None = Field(description="null: there is none")
    current: int | None = Field(description="null: not counted, because there is no limit")
    remaining: int | None
    window_seconds: int | None = Field(description="of a rate; null: what is there at this moment, or of a UTC day")
    resets_at: Time | None = Field(description="when some of it is free again, if that comes by itself")
    alert_threshold: float = Field(description="share of the limit from which on `warning` is true")
    warning: bool


class Quotas(Out):
    """What the tenant may use and what it uses: by plan, the settings, and limits of its own."""

    plan: str
    allowed_models: list[str] | None = Field(description="patterns of names; null: all")
    resources: dict[str, Quota] = Field(
        description="burst, qps, requests_per_minute, tokens_per_minute, tokens_per_day, "
        "concurrent_runs, waiting_runs, sessions, documents"
    )


class UsagePage(Page[UsageItem]):
    """A part of the sums, the sum of all, and today's budget."""

    totals: Sums
    budget: Budget
