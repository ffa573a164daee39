"""Which nodes there are: the built-in ones, and those of the package that BATON_CHAINS names.

A built-in node is found by standing in a module of agents/script/; nobody lists it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from uuid import UUID

from gateway.backends.configuration import configuration
from gateway.models import Models
from gateway.request import Caller
from node import Context, Node
from settings import settings

BUILT_IN = ("agents.probe", "agents.privacy.erase")
SCRIPT = "agents.script"  # its modules, and those of the packages within, are looked through for nodes


class DuplicateNode(Exception):
    """Two nodes have the same name, so that a chain could not say which one it means."""


@cache
def nodes() -> dict[str, Node]:
    """Every node by its name. DuplicateNode where a name is given twice; ImportError where a package has a mistake."""
    found: dict[str, Node] = {}
    for module in modules():
        for value in vars(module).values():
            if not isinstance(value, Node):
                continue
            if found.setdefault(value.name, value) is not value:
                raise DuplicateNode(f"{module.__name__} has a second node named {value.name!r}")
    return found


def modules() -> Iterator[ModuleType]:
    """The modules that nodes stand in."""
    yield from (importlib.import_module(name) for name in BUILT_IN)
    yield from _modules_of(SCRIPT)
    if package := settings().chains:
        yield from _modules_of(package)


def _modules_of(package: str) -> Iterator[ModuleType]:
    root = importlib.import_module(package)
    yield root
    for info in pkgutil.walk_packages(getattr(root, "__path__", ()), f"{package}."):
        yield importlib.import_module(info.name)


def models(ctx: Context) -> Models:
    """The door to models for one step: it sees the step's cancel and deadline, and counts for its tenant."""
    caller = Caller(UUID(ctx.tenant_id), UUID(ctx.run_id), ctx.step, chain=ctx.chain, agent_id=ctx.chain)
    return Models(configuration, caller, ctx, may_fall_back=settings().llm_fallback_enabled)
