"""The skill that writes one script for each of up to 200 products, beside each other: a failed one fails no other.

Each item is a step of its own, `item[7]`, whose commit brings the event `item_done`: results come as they are made.
"""

from __future__ import annotations

from chains.definition import Chain, sequence
from chains.script_body import AS_ASKED, CONTEXT, MANY, REMEMBERED, output
from chains.script_input import BatchInput

BATCH = Chain(
    "script.batch",
    version="1",
    title="Scripts for many products",
    input_schema=BatchInput,
    output=output,
    body=sequence(CONTEXT, AS_ASKED, MANY, REMEMBERED),
)
