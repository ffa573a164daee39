"""What a tenant may ask of models: nothing said is what everybody has."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import pytest
from psycopg2.errors import InsufficientPrivilege
from psycopg2.extensions import connection as Connection

from settings import Settings
from storage import model_policies, tenants
from storage.model_policies import Policy, default_limits, policy_of, set_policy
from storage.tables import uuid7
from tests.storage.conftest import rows


def test_a_tenant_of_whom_nothing_is_said_has_no_policy(tenant: UUID) -> None:
    assert policy_of(tenant) == Policy(None, None, None, record_text=False)


def test_a_change_keeps_the_rest(tenant: UUID) -> None:
    set_policy(tenant, allowed_models=["qwen*"], tokens_per_day=5)
    now = set_policy(tenant, money_per_day=Decimal("1.5"), tokens_per_day=None, record_text=True)
    assert now == policy_of(tenant) == Policy(("qwen*",), None, Decimal("1.5"), record_text=True)
    # And a change of nothing is none
    assert set_policy(tenant) == now


def test_no_model_is_another_thing_than_all_models(tenant: UUID) -> None:
    assert set_policy(tenant, allowed_models=[]).allowed_models == ()
    assert set_policy(tenant, allowed_models=None).allowed_models is None


@pytest.mark.parametrize(
    "changes",
    [{"tokens_per_day": -1}, {"money_per_day": Decimal("-0.1")}, {"money_per_day": Decimal("NaN")}, {"tokens": 5}],
)
def test_what_is_no_policy_is_refused(tenant: UUID, changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        set_policy(tenant, **changes)  # type: ignore[arg-type]
    assert policy_of(tenant) == Policy()


def test_a_policy_is_remembered_for_a_moment(
    tenant: UUID, owner_db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a policy that this process has read, and another process that changes it
    assert policy_of(tenant).tokens_per_day is None
    rows(owner_db, "INSERT INTO model_policies (tenant_id, tokens_per_day) VALUES (%s, 9)", (str(tenant),))
    # Then it is the old one for two seconds, by the clock of the memory
    assert policy_of(tenant).tokens_per_day is None
    later = model_policies._known.timer() + model_policies.REMEMBERED_SECONDS
    model_policies._known.expire(later)
    assert policy_of(tenant).tokens_per_day == 9


def test_a_tenant_sees_its_own_and_changes_none(tenant: UUID, app_db: Callable[..., Connection]) -> None:
    other = tenants.create_tenant(f"other-{uuid7()}")
    for one in (tenant, other):
        set_policy(one, tokens_per_day=7)
    app = app_db(tenant)
    assert rows(app, "SELECT tenant_id::text FROM model_policies") == [(str(tenant),)]
    with pytest.raises(InsufficientPrivilege):
        rows(app, "UPDATE model_policies SET tokens_per_day = 0")


def test_the_settings_hold_for_everybody_else(settings_env: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings_env.model_copy(update={"model_tokens_per_day": 8, "model_money_per_day": 0.1})
    monkeypatch.setattr(model_policies, "settings", lambda: given)
    assert default_limits() == (8, Decimal("0.1"))
