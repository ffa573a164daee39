"""The skill that changes a script as its query says and keeps the rest; the output's `diff` shows what changed."""

from __future__ import annotations

from chains.definition import Chain
from chains.script_body import changing, output
from chains.script_input import ModifyInput

MODIFY = Chain(
    "script.modify",
    version="1",
    title="Change a script",
    input_schema=ModifyInput,
    output=output,
    body=changing("script.modify"),
)
