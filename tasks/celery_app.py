"""The Celery app of the workers: one task for each agent node, under its own name, so that Flower shows agents."""

from __future__ import annotations

from typing import Any

from celery import Celery

from agents.registry import nodes
from chains.catalog import missing_nodes
from gateway.backends.configuration import rejected
from node import Node
from tasks.events import BatchedEvents
from tasks.hop import NodeTask
from tasks.run_node import StepFailed, run_node


class MissingNodes(SystemExit):
    """A chain names nodes that nobody has: the worker does not start."""


class WrongModels(SystemExit):
    """The models file has mistakes: the worker does not start with it. One that runs already keeps the old one."""


def register(app: Celery, node: Node) -> None:
    """Make the node a task. A failed step is written already; `throws` keeps its trace out of Celery's log."""

    @app.task(base=NodeTask, name=node.name, bind=True, throws=(StepFailed,), ignore_result=True)
    def execute(self: Any, **kwargs: Any) -> None:
        run_node(self.request, node, kwargs)


def make_app() -> Celery:
    """The app with every node as a task. Raises MissingNodes, or WrongModels, where no run could go on."""
    made = Celery("baton", config_source="celeryconfig")
    made.steps["consumer"].add(BatchedEvents)
    every = nodes()
    if missing := missing_nodes(every):
        raise MissingNodes("chains name nodes that nobody has: " + "; ".join(missing))
    if wrong := rejected():
        raise WrongModels(wrong)
    for node in every.values():
        register(made, node)
    return made
