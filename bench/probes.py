"""What the machine itself costs at this moment: a synced commit, a megabyte.

Durable figures mean nothing without the first: on shared disks a commit takes 0.1 ms now and 4 ms a minute later.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import statistics
import time
from pathlib import Path

import psycopg2

COMMITS_A_PROBE = 60
FILES_A_PROBE = 12


def commit_ms(owner_url: str) -> float:
    """Milliseconds of a synced commit of one row from one client: the median of a few dozen, one after another."""
    connection = psycopg2.connect(owner_url)
    connection.autocommit = True
    taken = []
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS bench_commit (no int PRIMARY KEY, at timestamptz)")
        for number in range(COMMITS_A_PROBE):
            began = time.perf_counter()
            cursor.execute(
                "INSERT INTO bench_commit VALUES (%s, now()) ON CONFLICT (no) DO UPDATE SET at = now()", (number,)
            )
            taken.append(time.perf_counter() - began)
    connection.close()
    return statistics.median(taken) * 1000


def bytes_ms(folder: Path, size: int) -> float:
    """Milliseconds that `size` bytes cost whoever keeps them: made, written as JSON, hashed, in a synced file."""
    taken = []
    for number in range(FILES_A_PROBE):
        began = time.perf_counter()
        text = base64.b64encode(os.urandom(size * 3 // 4 + 3)).decode()[:size]
        raw = json.dumps({"payload": text}).encode()
        hashlib.sha256(raw).hexdigest()
        with (folder / f"bytes-{number}").open("wb") as file:
            file.write(raw)
            os.fsync(file.fileno())
        taken.append(time.perf_counter() - began)
        (folder / f"bytes-{number}").unlink()
    return statistics.median(taken) * 1000
