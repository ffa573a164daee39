"""Verifies a tenant's record without trusting the database that holds it: every hash is computed anew from the rows.

    report = verify(tenant_id, rows, head, anchors)
    report.whole                    nothing was changed, removed, reordered or added by hand
    report.findings                 what was, by seq

The hash of an entry is SHA-256 over the hash of the entry before it (nothing for the first) and eleven netstrings
(docs/audit.md). Whoever may write every row can make a chain of their own that fits: only an anchor that was exported
before, and kept elsewhere, shows that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from uuid import UUID

from storage.reads.audit import AuditRow, Head

MOST_FINDINGS = 100


@dataclass(frozen=True)
class Finding:
    """kind: changed, removed, reordered, added, head or anchor; last_seq: of a gap of several."""

    kind: str
    seq: int
    message: str
    last_seq: int | None = None


@dataclass
class Report:
    """What a verification found. entries: rows that were read; more: there is more than MOST_FINDINGS to tell."""

    entries: int = 0
    anchors: int = 0
    findings: list[Finding] = field(default_factory=list)
    more: bool = False

    @property
    def whole(self) -> bool:
        """Whether the record is what was recorded."""
        return not self.findings

    def tell(self, kind: str, seq: int, message: str, last_seq: int | None = None) -> None:
        """Note a finding, of which there may be one for every row."""
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(kind, seq, message, last_seq))
        else:
            self.more = True


def hash_of(tenant_id: UUID, row: AuditRow, *, seq: int | None = None) -> bytes:
    """The hash that the row's columns and its prev_hash make. seq: as if it stood there."""
    values = (
        str(tenant_id),
        str(row.seq if seq is None else seq),
        row.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        str(row.id),
        row.actor,
        row.action,
        row.resource,
        row.before,
        row.after,
        row.source,
        row.trace_id,
    )
    return hashlib.sha256(row.prev_hash + b"".join(map(_netstring, values))).digest()


def verify(
    tenant_id: UUID, rows: Iterable[AuditRow], head: Head, anchors: Mapping[int, Iterable[bytes]] | None = None
) -> Report:
    """Check the rows, in the order of seq, against the head and the hashes of anchors by seq."""
    report, chain = Report(), _Chain(tenant_id, head)
    wanted = {seq: set(hashes) for seq, hashes in (anchors or {}).items() if seq >= head.cut_seq}
    report.anchors = len(wanted)
    if head.cut_seq in wanted and wanted.pop(head.cut_seq) != {head.cut_hash}:
        report.tell("anchor", head.cut_seq, "retention's cut is not the entry that the anchor names")
    for seq, same in groupby(rows, key=lambda row: row.seq):
        found = list(same)
        report.entries += len(found)
        row = chain.take(seq, found, report)
        if seq in wanted and wanted.pop(seq) != {row.hash}:
            report.tell("anchor", seq, "the entry is not the one that the anchor names: the chain was made anew")
    chain.end(report)
    for seq in sorted(wanted):
        report.tell("anchor", seq, "an anchor names an entry that is not there")
    return report


class _Chain:
    """Where the walk along the chain stands: the seq and the hash of the last row."""

    def __init__(self, tenant_id: UUID, head: Head) -> None:
        self.tenant_id, self.head = tenant_id, head
        self.seq, self.hash = head.cut_seq, head.cut_hash
        self.at: datetime | None = None
        self.sound = True  # the last row is there and fits, so that the next one must follow it
        self.moved: list[AuditRow] = []

    def take(self, seq: int, rows: list[AuditRow], report: Report) -> AuditRow:
        """Check the rows of one seq (one, where nobody added another) and go on behind it; the one that counts."""
        row = next((one for one in rows if self._fits(one)), rows[0])
        for other in rows:
            if other is not row:
                report.tell("added", seq, f"a second entry has this seq (id {other.id})")
        if not self.head.cut_seq < seq <= self.head.seq:
            where = "behind the head" if seq > self.head.seq else "before the cut of retention"
            report.tell("added", seq, f"stands {where}")
            return row
        if seq > self.seq + 1:
            self._missing(self.seq + 1, seq - 1, report)
            self.sound = False
        self._check(row, report)
        self.seq, self.hash, self.at = seq, row.hash, row.at
        return row

    def end(self, report: Report) -> None:
        """Check the end of the chain, and tell what was changed from what was moved."""
        if self.seq < self.head.seq:
            self._missing(self.seq + 1, self.head.seq, report)
        elif self.seq == self.head.seq and self.hash != self.head.hash:
            report.tell("head", self.seq, "the head names another entry than the last one")
        for row in self.moved:
            was = next((seq for seq in self._places(row) if hash_of(self.tenant_id, row, seq=seq) == row.hash), None)
            if was is None:
                report.tell("changed", row.seq, "is not what was recorded: its hash is another")
            else:
                report.tell("reordered", row.seq, f"was recorded as {was}")
        report.findings.sort(key=lambda finding: finding.seq)

    def _fits(self, row: AuditRow) -> bool:
        return row.prev_hash == self.hash and hash_of(self.tenant_id, row) == row.hash

    def _check(self, row: AuditRow, report: Report) -> None:
        followed, self.sound = self.sound, hash_of(self.tenant_id, row) == row.hash
        if not self.sound:
            if len(self.moved) < MOST_FINDINGS:
                self.moved.append(row)
            else:
                report.more = True
        elif followed and row.prev_hash != self.hash:
            report.tell("changed", row.seq, "does not follow the entry before it: one of the two was made anew")
        elif self.at is not None and row.at < self.at:
            report.tell("changed", row.seq, "is older than the entry before it")

    def _places(self, row: AuditRow) -> Iterator[int]:
        """Where a row may have stood: at the seq of another one that does not fit."""
        return (other.seq for other in self.moved if other is not row)

    @staticmethod
    def _missing(first: int, last: int, report: Report) -> None:
        report.tell("removed", first, "is missing" if first == last else f"is missing, and all up to {last}", last)


def _netstring(value: str | None) -> bytes:
    if value is None:
        return b"-,"
    content = value.encode()
    return b"%d:%s," % (len(content), content)
