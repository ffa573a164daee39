"""DBOS: a workflow of steps that do nothing, called directly in threads: `python -m bench.peers.dbos_chain URL 8 8`.

Tried on two cores: the direct call 700 nodes a second, `start_workflow` 600, a queue that is asked every 20 ms 570.
More connections than threads, because a step and the status of its workflow are two.
"""

from __future__ import annotations

import sys
import uuid

from dbos import DBOS

from bench.peers.serving import serve


def main(database_url: str, threads: int, nodes: int) -> None:
    """Be a process of DBOS until stdin ends."""
    DBOS(
        config={
            "name": "bench",
            "system_database_url": database_url,
            "sys_db_pool_size": 2 * threads,
            "executor_id": str(uuid.uuid4()),
            "application_version": "1",
            "log_level": "ERROR",
        }
    )

    @DBOS.step()  # type: ignore[untyped-decorator]
    def work() -> dict[str, str]:
        return {}

    @DBOS.workflow()  # type: ignore[untyped-decorator]
    def chain() -> None:
        for _ in range(nodes):
            work()

    DBOS.launch()
    serve(chain, threads)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
