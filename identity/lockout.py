"""Slows down who guesses passwords: by name, whether there is such a user or not, and by the address they come from.

From the fifth failure in a row on, a name is locked for 1 s, then 2, 4, ... up to 15 minutes. An address may fail fifty
times, as many people share one. An attempt at what is locked is not counted and no password is looked at, so nobody can
be locked out for longer than their last real guess. More than four logins of one user at the same moment meet the lock
as well: a program has an API key.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from errors import LoginLocked
from identity.secrets import hashed
from storage import logins
from storage.logins import Count

FREE_BY_NAME = 4
FREE_BY_SOURCE = 50
MOST = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(days=1)
SOURCE_FORGOTTEN_AFTER = timedelta(hours=1)

_EVERYWHERE = UUID(int=0)  # an address is nobody's: counted over all tenants


def name_hash(tenant: str, email_key: str) -> bytes:
    """The HMAC of a name in a tenant: nobody reads from it who tried to enter."""
    return hashed("login name", f"{len(tenant)}:{tenant}{email_key}")


def by_name(tenant_id: UUID | None, tenant: str, email_key: str) -> Count:
    """The count of a name; of a tenant that there is not (None) as well."""
    where = tenant_id or UUID(bytes=hashed("login tenant", tenant)[:16])
    return Count(where, name_hash(tenant, email_key), FREE_BY_NAME, MOST, FORGOTTEN_AFTER)


def by_source(source: str | None) -> list[Count]:
    """The count of an address (of IPv6 the /64, which is one household's); none where it is unknown."""
    try:
        address = ipaddress.ip_address(source or "")
    except ValueError:
        return []
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address  # a socket for both kinds writes IPv4 so: one /64 for all of it
    place = str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)
    return [Count(_EVERYWHERE, hashed("login source", place), FREE_BY_SOURCE, MOST, SOURCE_FORGOTTEN_AFTER)]


def admit(counts: Sequence[Count], now: datetime) -> None:
    """Count an attempt under all of these. Raises LoginLocked."""
    wait_seconds = logins.attempt(counts, now)
    if wait_seconds is not None:
        raise LoginLocked(wait_seconds)
