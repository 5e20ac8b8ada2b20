"""JSON Schema as tables: a row a field, nested objects in tables of their own."""

from collections.abc import Iterator
from typing import Any

from scripts.docs_site.markdown import code, table

Schema = dict[str, Any]

_BOUNDS = (
    ("minimum", ">= {}"), ("exclusiveMinimum", "> {}"), ("maximum", "<= {}"), ("exclusiveMaximum", "< {}"),
    ("minLength", "at least {} characters"), ("maxLength", "at most {} characters"), ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
)  # fmt: skip


def field_table(schema: Schema, links: dict[str, str]) -> str:
    """Write the fields of an object; ``links`` are the anchors of the definitions that have tables."""
    required = set(schema.get("required", ()))
    rows = [
        (
            code(name) + (" *" if name in required else ""), type_text(field, links), bounds_text(field),
            _default(field), field.get("description", ""),
        )
        for name, field in schema.get("properties", {}).items()
    ]  # fmt: skip
    return table(("Field", "Type", "Allowed", "Default", "Meaning"), rows)


def type_text(field: Schema, links: dict[str, str]) -> str:
    """Say what a value is; a definition by its name, linked where it has a table."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{links[name]})" if name in links else code(name)
    values = [field["const"]] if "const" in field else field.get("enum", [])
    if values:
        return " or ".join(code(value) for value in values)
    parts = [part for key in ("anyOf", "oneOf", "allOf") for part in field.get(key, ())]
    if parts:
        return " or ".join(dict.fromkeys(type_text(part, links) for part in parts))
    return _plain_type(field, links)


def _plain_type(field: Schema, links: dict[str, str]) -> str:
    kind, values = field.get("type", "any"), field.get("additionalProperties")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"list of {type_text(field.get('items', {}), links)}"
    if kind == "object" and isinstance(values, dict):
        return f"mapping to {type_text(values, links)}"
    return str(kind)


def bounds_text(field: Schema) -> str:
    """Say which values are allowed."""
    parts = list(dict.fromkeys(_bounds(field)))
    return ", ".join(parts)


def _bounds(field: Schema) -> Iterator[str]:
    for key, shape in _BOUNDS:
        if key in field:
            yield shape.format(field[key])
    if "pattern" in field:
        yield f"matches {code(field['pattern'])}"
    for part in field.get("anyOf", ()):
        yield from _bounds(part)


def _default(field: Schema) -> str:
    if "default" not in field or isinstance(field["default"], dict | list):
        return ""
    return "none" if field["default"] is None else code(field["default"])
