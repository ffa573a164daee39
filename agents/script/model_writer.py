"""A script by a model: one short call a part, streamed, so that viewers see it grow and a cancel is seen at once."""

from __future__ import annotations

from typing import Any

from agents.script.brief import Brief
from agents.script.rule_writer import Part
from node import Context


def write_by_model(brief: Brief, model: Any, ctx: Context) -> list[Part]:
    """placeholder"""
    raise NotImplementedError
