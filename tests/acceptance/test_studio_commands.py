"""`manage.py seed` and `manage.py import`: into the real database, by the real command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from settings import Settings
from storage import catalog, tenants
from storage.catalog import CREATORS, PRODUCTS
from storage.tables import uuid7
from tests.acceptance.house import ROOT, clean_environment
from tests.conftest import Servers

Run = Any


@pytest.fixture
def manage(servers: Servers, settings_env: Settings) -> Run:
    """Run a command of manage.py against the tests' servers."""

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "manage.py"), *args]
        environment = clean_environment(**servers.environment())
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)

    return run


def rows(tenant_id: UUID, kind: catalog.Kind) -> dict[str, Any]:
    return {row["name"]: row for row in catalog.page(tenant_id, kind, limit=1000)["items"]}


def test_seed_fills_the_default_tenant_once_and_spares_what_was_changed(manage: Run) -> None:
    default = tenants.ensure_default_tenant()
    # When the demo's set is put there
    first = manage("seed")
    assert first.returncode == 0, first.stderr
    serum = rows(default, PRODUCTS)["晨露水润精华"]
    assert serum["price"] == 129 and rows(default, CREATORS)["小雅"]["default_tone"] == "活泼"
    # And once more, after somebody changed a price
    catalog.change(default, PRODUCTS, serum["id"], {"price": 99})
    count = len(rows(default, PRODUCTS)), len(rows(default, CREATORS))
    again = manage("seed")
    # Then nothing is there twice, and the price is theirs
    assert again.returncode == 0 and "products: 0 new" in again.stdout and "creators: 0 new" in again.stdout
    assert (len(rows(default, PRODUCTS)), len(rows(default, CREATORS))) == count
    assert rows(default, PRODUCTS)["晨露水润精华"]["price"] == 99


def test_import_writes_good_lines_tells_bad_ones_and_fails(manage: Run, tmp_path: Path) -> None:
    name = f"tenant-{uuid7()}"
    tenant_id = tenants.create_tenant(name)
    file = tmp_path / "商品.csv"
    file.write_text("名称,价格\n云朵枕,199\n坏的,abc\n", encoding="gb18030")
    # When it is only looked at
    dry = manage("import", "products", str(file), "--tenant", name, "--dry-run", "--json")
    # Then it tells the same as the import, which tells the bad line
    done = manage("import", "products", str(file), "--tenant", name)
    assert json.loads(dry.stdout)["imported"] == 1
    assert dry.returncode == done.returncode == 1
    assert "line 3: price:" in done.stderr and "imported: 1, updated: 0, failed: 1" in done.stdout
    assert rows(tenant_id, PRODUCTS)["云朵枕"]["price"] == 199
    assert rows(tenant_id, PRODUCTS).keys() == {"云朵枕"}


def test_a_file_of_other_columns_and_an_unknown_tenant_are_one_line(manage: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("nome\na\n")
    wrong = manage("import", "creators", str(file))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "error: nome is no column: did you mean name?\n"
    unknown = manage("import", "creators", str(file), "--tenant", "nobody-here")
    assert unknown.returncode == 2 and "nobody-here" in unknown.stderr and "Traceback" not in unknown.stderr
