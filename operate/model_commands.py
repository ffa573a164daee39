"""`manage.py models`: which models there are and how they are, one real call, and what a tenant may spend on them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from uuid import UUID

    from gateway.backend import Backend

WithDataDir = Callable[[Callable[..., Any]], Callable[..., Any]]
PROMPT = "Say hello in one short sentence."


def add_commands(cli: click.Group, with_data_dir: WithDataDir) -> None:
    """Add the commands to the group, each with `--data-dir`."""
    group = click.group(
        name="models",
        invoke_without_command=True,
        short_help="Models: health and price, test one, budgets.",
    )(with_data_dir(models))
    group.command(name="test", short_help="Make one real call.")(with_data_dir(test))
    group.command(name="budget", short_help="Show or change what a tenant may use.")(with_data_dir(budget))
    cli.add_command(group)


@click.option("--json", "as_json", is_flag=True, help="As a JSON object.")
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List the backends with health, time to the first token, breaker and price for 1,000 tokens.

    Health is a quick look at the server (1 s, all at once); times and breakers are what all workers saw together.
    """
    if context.invoked_subcommand:
        return
    import structlog

    from gateway.backends.configuration import configuration
    from operate import model_table

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # standard output is the list's
    found = configuration()
    rows = model_table.rows(found)
    if as_json:
        click.echo(json.dumps(model_table.as_json(found, rows), ensure_ascii=False))
        return
    model_table.show(found, rows)


@click.argument("name")
@click.option("--prompt", default=PROMPT, show_default=True, help="What is asked, or embedded.")
def test(name: str, prompt: str) -> None:
    """Make one real call of the backend NAME, past breaker, budget and cache. Exit code 1: it failed, and why."""
    from gateway.backend import EMBEDDING
    from gateway.wire.failures import Failed, failed

    backend = _backend(name)
    try:
        if EMBEDDING in backend.capabilities:
            _embed(backend, prompt)
        else:
            _talk(backend, prompt)
    except Failed as failure:
        click.echo(f"error: {failure}", err=True)
        sys.exit(1)
    except Exception as wrong:  # an embedding's library raises what it likes; its message may quote a key
        click.echo(f"error: {failed(wrong, backend)}", err=True)
        sys.exit(1)


def _backend(name: str) -> Backend:
    from gateway.backends.configuration import backends

    known = {backend.name: backend for backend in backends()}
    if name not in known:
        raise click.BadParameter(f"there is no backend {name!r}, only {', '.join(known)}", param_hint="NAME")
    return known[name]


def _talk(backend: Backend, prompt: str) -> None:
    import time

    from gateway.request import Ask
    from gateway.wire import providers, talk

    providers.chat_model(backend)  # importing its library takes seconds, which are not the model's
    ask = Ask([{"role": "user", "content": prompt}], max_tokens=512)
    begun, first, last = time.monotonic(), 0.0, None
    for piece in talk.stream(backend, ask, cancelled=lambda: False, seconds_left=lambda: backend.timeout_seconds):
        first = first or time.monotonic() - begun
        click.echo(_printable(piece.text), nl=False)
        last = piece
    total = time.monotonic() - begun
    tokens_in, tokens_out = (last.tokens_in, last.tokens_out) if last else (None, None)
    click.echo(f"\n\nfirst token    {first * 1000:.0f} ms\ntotal          {total * 1000:.0f} ms")
    click.echo(f"tokens         {_or_unknown(tokens_in)} in, {_or_unknown(tokens_out)} out")
    if last and last.finish_reason == "length":
        click.echo("the answer was cut at 512 tokens")


def _embed(backend: Backend, prompt: str) -> None:
    import time

    from gateway.wire import embeddings

    begun = time.monotonic()
    vector = embeddings.embed(backend, [prompt])[0]
    click.echo(f"total          {(time.monotonic() - begun) * 1000:.0f} ms\nvector         {len(vector)} numbers")


def _or_unknown(tokens: int | None) -> str:
    return "not told" if tokens is None else str(tokens)


def _printable(text: str) -> str:
    """A model's text without what a terminal would obey."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


# ------------------------------------------------------------------------------------------------------------ budget


def _tokens(context: click.Context, parameter: click.Parameter, value: str | None) -> int | str | None:
    """A limit of tokens: 0 for "none", None for "default"; "" where it is not given."""
    limit = _money(context, parameter, value)
    if isinstance(limit, Decimal):
        if limit != limit.to_integral_value():
            raise click.BadParameter("a whole number is expected, or none, or default")
        return int(limit)
    return limit


def _money(context: click.Context, parameter: click.Parameter, value: str | None) -> Decimal | str | None:
    """The same of money."""
    if value is None:
        return ""
    if value == "default":
        return None
    try:
        limit = Decimal(0) if value == "none" else Decimal(value)
    except InvalidOperation:
        limit = Decimal(-1)
    if not limit.is_finite() or limit < 0 or limit > 10**15:
        raise click.BadParameter("a number is expected, or none, or default")
    return limit


@click.argument("tenant_name", metavar="TENANT")
@click.option("--tokens", metavar="N", callback=_tokens, help="Tokens a UTC day; or `none`, or `default`: as for all.")
@click.option("--money", metavar="M", callback=_money, help="Money a UTC day, likewise.")
@click.option("--allow", metavar="PATTERN", multiple=True, help="Only these backends or models; '*': all. Repeatable.")
@click.option("--record-text/--no-record-text", default=None, help="Keep prompts and answers, masked, in the call log.")
def budget(tenant_name: str, tokens: Any, money: Any, allow: tuple[str, ...], record_text: bool | None) -> None:
    """Show what TENANT may use and has used today, or change it; then its runs that wait for a budget go on."""
    from chains.budget import go_on
    from identity.acting import operator
    from storage.model_policies import set_policy

    changes: dict[str, Any] = {}
    if tokens != "":
        changes["tokens_per_day"] = tokens
    if money != "":
        changes["money_per_day"] = money
    if allow:
        changes["allowed_models"] = None if "*" in allow else list(allow)
    if record_text is not None:
        changes["record_text"] = record_text
    tenant_id = _tenant(tenant_name)
    if changes:
        set_policy(tenant_id, partial(operator(tenant_id).record, "models.policy"), **changes)
    _show_budget(tenant_id)
    if changes:
        click.echo(f"paused runs that go on   {go_on(tenant_id)}")


def _tenant(name: str) -> UUID:
    from settings import SettingsError, settings
    from storage import outages
    from storage.tenants import find_tenant

    if not settings().database_url:
        raise SettingsError("DATABASE_URL is not set, and no instance has run in the data dir")
    try:
        found = find_tenant(name)
    except outages.DATABASE_AWAY as away:
        raise SettingsError(f"the database does not answer: {outages.first_line(away)}") from None
    if found is None:
        raise click.BadParameter(f"there is no tenant {name!r}", param_hint="TENANT")
    return found


def _show_budget(tenant_id: UUID) -> None:
    from policy import tenant_limits
    from storage.model_calls import spent
    from storage.model_policies import default_limits, policy_of

    policy, used, (tokens, money) = policy_of(tenant_id), spent(tenant_id), default_limits()
    plan = tenant_limits.of(tenant_id)
    allowed = [one for one in (policy.allowed_models, plan.allowed_models) if one is not None]
    click.echo(
        f"tokens a day             {_limit(policy.tokens_per_day, plan.tokens_per_day or tokens)}, "
        f"today {used.tokens_used} used and {used.tokens_reserved} reserved\n"
        f"money a day              {_limit(policy.money_per_day, money)}, "
        f"today {_plain(used.cost_used)} used and {_plain(used.cost_reserved)} reserved\n"
        f"allowed models           {'; of these '.join(map(', '.join, allowed)) or 'all'}\n"
        f"prompts and answers      {'kept, masked' if policy.record_text else 'not kept'}"
    )


def _limit(own: int | Decimal | None, default: int | Decimal) -> str:
    limit = default if own is None else own
    return (_plain(limit) if limit else "no limit") + (" (default)" if own is None else "")


def _plain(amount: int | Decimal) -> str:
    """A number without an exponent or trailing zeros."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
