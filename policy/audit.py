"""Makes entries of the record: who did what to what, with everything personal masked before it is stored.

`storage/audit.py` writes them in the transaction of the change.
"""

from __future__ import annotations

from typing import Any

from policy.pii.mask import masked_value
from storage.audit import Entry


def entry(
    actor: str,
    action: str,
    resource: str,
    *,
    before: Any = None,
    after: Any = None,
    source: str | None = None,
    trace_id: str | None = None,
) -> Entry:
    """An entry whose `before` and `after` (JSON-able) are masked."""
    return Entry(actor, action, resource, masked_value(before), masked_value(after), source, trace_id)
