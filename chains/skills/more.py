"""The skill that writes another script in the manner of one that is there."""

from __future__ import annotations

from chains.definition import Chain
from chains.script_body import changing, output
from chains.script_input import ContinueInput

CONTINUE = Chain(
    "script.continue",
    version="1",
    title="One more of the kind",
    input_schema=ContinueInput,
    output=output,
    body=changing("script.continue"),
)
