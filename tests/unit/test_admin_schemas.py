"""What the API says of roles, plans and statuses is what there is."""

from __future__ import annotations

from typing import get_args

from app.schemas import admin
from policy.permissions import ROLES
from storage.identity_tables import PLANS, TENANT_STATUSES, USER_STATUSES


def test_the_schemas_know_what_there_is() -> None:
    assert get_args(admin.Role) == tuple(ROLES)
    assert get_args(admin.Plan) == PLANS
    assert get_args(admin.UserStatus) == USER_STATUSES
    assert get_args(admin.TenantStatus) == TENANT_STATUSES
