"""`manage.py audit`: what it prints, and its exit code, on a record that is whole and on one that is not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from psycopg2.extensions import connection as Connection

import manage
from policy import audit_export
from storage import audit, audit_anchors
from storage.audit import Entry
from storage.postgres import session
from storage.reads import audit as reads
from tests.storage.conftest import rows


@pytest.fixture
def name(tenant: UUID) -> str:
    """The name of a tenant with three entries and an anchor."""
    for number in range(3):
        with session(tenant) as db:
            audit.write(db, Entry("user:1", f"a.{number}", "thing:1"))
    audit_anchors.make(datetime.now(UTC).date())
    return reads.tenants()[tenant]


def run(*words: str) -> Any:
    return CliRunner().invoke(manage.cli, ["audit", *words])


def test_a_whole_record(name: str) -> None:
    found = run("verify", "--tenant", name)
    assert (found.exit_code, found.output) == (0, f"{name}  whole: 3 entries, 1 anchors\n")


def test_a_changed_record_is_told_by_its_seq(name: str, tenant: UUID, owner_db: Connection) -> None:
    rows(owner_db, "UPDATE audit_logs SET actor = 'x' WHERE tenant_id = %s AND seq = 2", (str(tenant),))
    found = run("verify", "--tenant", name)
    assert found.exit_code == 1
    assert found.output.splitlines() == [
        f"{name}  seq 2  changed: is not what was recorded: its hash is another",
        f"{name}  NOT whole: 3 entries, 1 anchors",
    ]
    rows(owner_db, "UPDATE audit_logs SET actor = 'user:1' WHERE tenant_id = %s AND seq = 2", (str(tenant),))


def test_exported_anchors_find_a_tail_that_went_with_its_head_and_anchor(
    name: str, tenant: UUID, owner_db: Connection, tmp_path: Path
) -> None:
    # Given anchors that were exported, and an owner who removes the last entry and all that tells of it
    file = tmp_path / "anchors.ndjson"
    assert run("anchors", "--tenant", name, "--export", str(file)).output == f"1 anchors: {file}\n"
    assert json.loads(file.read_text())["hash"] == reads.head(tenant).hash.hex()
    mine = (str(tenant),)
    rows(owner_db, "DELETE FROM audit_logs WHERE tenant_id = %s AND seq = 3", mine)
    rows(owner_db, "DELETE FROM audit_anchors WHERE tenant_id = %s", mine)
    second = "SELECT hash FROM audit_logs WHERE tenant_id = %s AND seq = 2"
    rows(owner_db, f"UPDATE audit_heads SET seq = 2, hash = ({second}) WHERE tenant_id = %s", (*mine, *mine))
    # When it is verified by itself, Then it is whole; with the anchors it is not
    assert run("verify", "--tenant", name).exit_code == 0
    found = run("verify", "--tenant", name, "--anchors", str(file))
    assert found.exit_code == 1 and f"{name}  seq 3  anchor: " in found.output


def test_an_export_is_verified_from_its_file(name: str, tenant: UUID, tmp_path: Path) -> None:
    file = tmp_path / "audit.ndjson"
    head = reads.head(tenant)
    file.write_text("".join(audit_export.lines(tenant, head, reads.in_order(tenant, head.seq))))
    found = run("verify", "--file", str(file))
    assert (found.exit_code, found.output) == (0, f"{tenant} ({file})  whole: 3 entries, 0 anchors given\n")
    file.write_text(file.read_text().replace("a.1", "a.7"))
    found = run("verify", "--file", str(file))
    assert found.exit_code == 1 and "seq 2  changed" in found.output


@pytest.mark.parametrize("words", [("--tenant", "nobody at all"), ("--file", __file__), ("--anchors", __file__)])
def test_what_cannot_be_is_told_in_a_line(name: str, words: tuple[str, str]) -> None:
    found = run("verify", *words)
    assert found.exit_code == 2 and "Traceback" not in found.output
