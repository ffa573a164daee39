"""The skill that brings a script down to so many seconds."""

from __future__ import annotations

from chains.definition import Chain
from chains.script_body import changing, output
from chains.script_input import ShortenInput

SHORTEN = Chain(
    "script.shorten",
    version="1",
    title="Shorten a script to N seconds",
    input_schema=ShortenInput,
    output=output,
    body=changing("script.modify"),
)
