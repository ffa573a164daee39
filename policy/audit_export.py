"""An export of the record as JSON lines, and its verification from the file alone.

    {"audit_export": 1, "tenant_id", "from", "to", "cut_seq", "cut_hash", "head_seq", "head_hash"}
    {"seq", "id", "at", "actor", "action", "resource", "before", "after", "source", "trace_id", "prev_hash", "hash"}
    ...
    {"end": true, "entries", "last_seq", "last_hash"}

Hashes are hex; `before` and `after` are the stored text (JSON within JSON), because the hash is of that text. A file of
a stretch of time begins at its first entry's `prev_hash`, of which only an anchor says whether it is right.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from policy.audit_chain import Report, verify
from storage.reads.audit import AuditRow, Head

FORMAT = 1
HEADER = ("tenant_id", "from", "to", "cut_seq", "cut_hash", "head_seq", "head_hash")
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class NotAnExport(ValueError):
    """The file is no export of the record."""


def lines(
    tenant_id: UUID,
    head: Head,
    rows: Iterable[AuditRow],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[str]:
    """The export's lines, in the order of the chain."""
    yield _line(
        audit_export=FORMAT,
        tenant_id=str(tenant_id),
        **{"from": _moment(since), "to": _moment(until)},
        cut_seq=head.cut_seq,
        cut_hash=head.cut_hash.hex(),
        head_seq=head.seq,
        head_hash=head.hash.hex(),
    )
    entries, last_seq, last_hash = 0, 0, b""
    for row in rows:
        entries, last_seq, last_hash = entries + 1, row.seq, row.hash
        shown = {"id": str(row.id), "at": _moment(row.at), "prev_hash": row.prev_hash.hex(), "hash": row.hash.hex()}
        yield _line(**{**row._asdict(), **shown})
    yield _line(end=True, entries=entries, last_seq=last_seq, last_hash=last_hash.hex())


def verify_file(path: Path, anchors: Mapping[UUID, Mapping[int, Iterable[bytes]]] | None = None) -> tuple[UUID, Report]:
    """The tenant and what a verification of the file finds; it is read twice, line by line. Raises NotAnExport.

    anchors: by tenant and seq, exported before the file was; of a stretch of time only those count that fall into it.
    """
    header, first, last, end = _ends(path)
    tenant_id = UUID(header["tenant_id"])
    head = Head(header["head_seq"], bytes.fromhex(header["head_hash"]), header["cut_seq"], _hash(header["cut_hash"]))
    wanted = dict((anchors or {}).get(tenant_id, {}))
    if header["from"] is not None or header["to"] is not None:
        head = Head() if first is None or last is None else Head(last.seq, last.hash, first.seq - 1, first.prev_hash)
        wanted = {seq: hashes for seq, hashes in wanted.items() if head.cut_seq <= seq <= head.seq and seq}
    report = verify(tenant_id, _entries(path), head, wanted)
    if end is None:
        report.tell("removed", head.seq + 1, "the file has no last line: it was cut off")
    elif (end["entries"], end["last_seq"]) != (report.entries, 0 if last is None else last.seq):
        report.tell("removed", end["last_seq"], f"the last line tells of {end['entries']} entries up to this one")
    return tenant_id, report


def _ends(path: Path) -> tuple[dict[str, Any], AuditRow | None, AuditRow | None, dict[str, Any] | None]:
    """The file's first line, its first and last entry, and its last line."""
    header: dict[str, Any] | None = None
    first: AuditRow | None = None
    last: dict[str, Any] | None = None
    end: dict[str, Any] | None = None
    for told in _lines_of(path):
        if header is None:
            header = told
        elif "end" in told:
            end = told
        else:
            first, last = first or _row(told), told
    if header is None or header.get("audit_export") != FORMAT or not set(HEADER) <= set(header):
        raise NotAnExport("the first line is not that of an export of the record")
    return header, first, None if last is None else _row(last), end


def _entries(path: Path) -> Iterator[AuditRow]:
    return (_row(told) for told in _lines_of(path) if "seq" in told)


def _lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in the lines. Raises NotAnExport."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                told = json.loads(line)
            except ValueError as wrong:
                raise NotAnExport(f"line {number} is not JSON: {wrong}") from None
            if not isinstance(told, dict):
                raise NotAnExport(f"line {number} is not a JSON object")
            yield told


def _row(told: Mapping[str, Any]) -> AuditRow:
    """An entry of its line. Raises NotAnExport."""
    try:
        values = {name: told[name] for name in AuditRow._fields}
        values |= {"id": UUID(told["id"]), "at": datetime.strptime(told["at"], _TIME).replace(tzinfo=UTC)}
        return AuditRow(**values | {"prev_hash": _hash(told["prev_hash"]), "hash": _hash(told["hash"])})
    except (KeyError, TypeError, ValueError) as wrong:
        raise NotAnExport(f"the entry {told.get('seq')} cannot be read: {wrong!r}") from None


def _hash(text: str) -> bytes:
    return bytes.fromhex(text)


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).strftime(_TIME)


def _line(**told: Any) -> str:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")) + "\n"
