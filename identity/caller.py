"""Where a request comes from, as the record names it, beside who makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from policy import audit
from storage.audit import Entry


@dataclass(frozen=True, slots=True)
class Caller:
    """source: the client's address; trace_id: of the request."""

    source: str | None = None
    trace_id: str | None = None

    def entry(self, actor: str, action: str, resource: str, *, before: Any = None, after: Any = None) -> Entry:
        """An entry of the record for what this request does; before and after are masked."""
        return audit.entry(
            actor, action, resource, before=before, after=after, source=self.source, trace_id=self.trace_id
        )
