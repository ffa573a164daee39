"""LangGraph on its PostgresSaver, nodes that do nothing, in threads: `python -m bench.peers.langgraph_chain URL 8 8`.

Every checkpoint is on disk before the next node starts (`durability="sync"`). Each thread has a saver of its own on the
shared pool, because a saver lets one thread in at a time (6 % faster when tried).
"""

from __future__ import annotations

import sys
import threading
import uuid
from typing import Any, TypedDict

from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, StateGraph
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from bench.peers.serving import serve


class State(TypedDict):
    """What the nodes hand on."""

    count: int


def main(database_url: str, threads: int, nodes: int) -> None:
    """Be a process of LangGraph until stdin ends."""
    connection = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool: Any = ConnectionPool(database_url, min_size=threads, max_size=threads, kwargs=connection, open=True)
    pool.wait()
    PostgresSaver(pool).setup()
    line, own = _line(nodes), threading.local()

    def chain() -> None:
        if not hasattr(own, "graph"):
            own.graph = line.compile(checkpointer=PostgresSaver(pool))
        own.graph.invoke({"count": 0}, {"configurable": {"thread_id": str(uuid.uuid4())}}, durability="sync")

    serve(chain, threads)


def _line(nodes: int) -> Any:
    graph: Any = StateGraph(State)
    for number in range(1, nodes + 1):
        graph.add_node(str(number), lambda state: {"count": state["count"] + 1})
        graph.add_edge(START if number == 1 else str(number - 1), str(number))
    graph.add_edge(str(nodes), END)
    return graph


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
