"""Who makes a change, how it is recorded, and the rule that nobody gives, takes or uses more power than they have.

Power is what roles permit (`policy/permissions.py`) and what the way in has left of it: an owner's key with the scope
`users:manage` makes no administrators. `owner` is more than its permissions: only an owner makes or changes owners.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from errors import Forbidden
from identity import access_tokens, keys
from identity.caller import Caller
from identity.principal import Principal
from policy.permissions import OWNER, permissions_of
from storage.audit import Entry


class Record(Protocol):
    """Makes an entry of the record on behalf of whoever acts: `auth.audit` of a request."""

    def __call__(self, action: str, resource: str, *, before: Any = None, after: Any = None) -> Entry:
        """The entry; before, after: JSON-able, masked by it."""


@dataclass(frozen=True, slots=True)
class Acting:
    """The one who acts, and what makes entries in their name."""

    principal: Principal
    record: Record

    @property
    def tenant_id(self) -> UUID:
        """The tenant that they act in."""
        return self.principal.tenant_id


def operator(tenant_id: UUID, *, platform: bool = False) -> Acting:
    """Who types a command of `manage.py`: may do everything in the tenant, recorded under the system's user name."""
    actor = f"system:manage.py {_system_user()}"
    may = Principal(tenant_id, actor, frozenset({OWNER}), permissions_of({OWNER}), platform=platform)
    return Acting(may, partial(Caller().entry, actor))


def must_hold(acting: Acting, roles: Iterable[str], to: str, scopes: Iterable[str] | None = None) -> None:
    """Raises Forbidden where these roles, cut down to the scopes, may more than the one who acts. to: what for."""
    held, wanted = acting.principal, frozenset(roles)
    if OWNER in wanted and OWNER not in held.roles:
        raise Forbidden(f"Only an owner may {to}, as it has the role `{OWNER}`.")
    more = permissions_of(wanted, scopes) - held.permissions
    if more:
        raise Forbidden(f"You may not {to}: it may `{min(more)}`, and you may not.")


def take_effect() -> None:
    """After a change: this process looks at keys and logins anew; the others do within 5 s."""
    keys.forget()
    access_tokens.forget()


def told(shown: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The fields of a row in public that an entry tells; ids and times as text."""
    plain = (bool, int, float, str, list, dict, type(None))
    return {name: shown[name] if isinstance(shown[name], plain) else str(shown[name]) for name in names}


def _system_user() -> str:
    """By the process's user id: a name in the environment is anybody's to set."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        return str(os.getuid())
