"""The skill that says a script as it is said on another platform."""

from __future__ import annotations

from chains.definition import Chain
from chains.script_body import changing, output
from chains.script_input import AdaptInput

ADAPT = Chain(
    "script.adapt",
    version="1",
    title="Adapt a script to a platform",
    input_schema=AdaptInput,
    output=output,
    body=changing("script.modify"),
)
