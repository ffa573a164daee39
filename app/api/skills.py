"""Skills: the chains that this installation can run."""

from __future__ import annotations

from typing import Any

from app.api import blueprint
from app.operation import operation
from app.schemas.service import SkillPage
from chains import catalog

api = blueprint("skills", __name__)


@operation(api, "GET", "/skills", "List skills", needs="skills:read", answers={200: SkillPage})
def page() -> dict[str, Any]:
    """Each with the JSON schema of its input; `name` is what `POST /runs` calls `chain`."""
    items = []
    for name, versions in sorted(catalog.catalog().items()):
        chain = catalog.latest(name)
        if chain.internal:
            continue
        schema = chain.input_schema.model_json_schema() if chain.input_schema else None
        items.append(
            {
                "name": name,
                "title": chain.title or name,
                "version": chain.version,
                "versions": list(versions),
                "description": " ".join((schema or {}).get("description", "").split()),
                "example": next(iter((schema or {}).get("examples", [])), None),
                "input_schema": schema,
            }
        )
    return {"items": items, "next_cursor": None}
