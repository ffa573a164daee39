"""An answer that is JSON of a schema: parsed, and where it is none, repaired by the model that gave it, twice at most.

How a backend is made to keep to a schema is its protocol's (gateway/wire/providers.py); what comes is never believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pydantic import BaseModel, ValidationError

from gateway.attempt import Broken, Request, attempt
from gateway.backend import Backend
from gateway.wire.failures import Failed
from gateway.wire.talk import Piece

REPAIRS = 2


def repaired(request: Request, backend: Backend, *, probe: bool) -> Iterator[Piece]:
    """One piece: the JSON text of an instance of `request.schema`. Failed where there is none after two repairs."""
    schema = request.schema
    assert schema is not None
    messages = list(request.ask.messages)
    mistake = ""
    for _ in range(1 + REPAIRS):
        asking = replace(request, ask=replace(request.ask, messages=messages))
        try:
            came = list(attempt(asking, backend, probe=probe))
        except Broken as broken:  # nothing of it was given on
            raise broken.failure from broken
        text = unfenced("".join(piece.text for piece in came))
        mistake = mistake_in(text, schema)
        if not mistake:
            yield replace(came[-1], text=text)
            return
        repair = f"{mistake}. Answer again, with JSON of the schema only."
        messages = [*request.ask.messages, {"role": "assistant", "content": text}, {"role": "user", "content": repair}]
    told = f"no valid {schema.__name__} after {REPAIRS} repairs: {mistake}"
    raise Failed(backend.name, "unstructured", told)


def mistake_in(text: str, schema: type[BaseModel]) -> str:
    """What is wrong with the text as an instance of the schema, "" where nothing is."""
    try:
        schema.model_validate_json(text)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the answer"
        return f"{place}: {first['msg']}"
    return ""


def unfenced(text: str) -> str:
    """The JSON inside a Markdown fence, which some models put around it."""
    stripped = text.strip()
    if stripped.startswith("```"):
        return stripped.strip("`").removeprefix("json").strip()
    return stripped
