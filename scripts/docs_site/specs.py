"""The spec of each kind of job, from the JSON Schemas that the forms of the dashboard are rendered from."""

import inspect

from scripts.docs_site.schema import Schema, field_table, type_text
from workers.contract.catalog import job_schema
from workers.contract.jobs import JOB_KINDS

_INTRODUCTION = """# Job specs

A spec is YAML or JSON. Fields marked * must be given; what is not known is refused, with the field's name. The same
schemas are served at `GET /api/v1/catalog/`.

"""


def page() -> str:
    """Write the page."""
    return _INTRODUCTION + "".join(_kind(kind) for kind in sorted(JOB_KINDS))


def _kind(kind: str) -> str:
    schema = job_schema(kind)
    definitions: dict[str, Schema] = schema.get("$defs", {})
    links = {name: f"{kind}-{name.lower()}" for name in definitions}
    text = f"## {kind}\n\n{_words(schema)}\n\n{field_table(schema, links)}\n"
    for name, definition in sorted(definitions.items()):
        text += f"### {name} {{ #{links[name]} }}\n\n{_words(definition)}\n\n"
        if "properties" in definition:
            text += f"{field_table(definition, links)}\n"
        else:
            text += f"One of: {type_text(definition, links)}\n\n"
    return text


def _words(schema: Schema) -> str:
    return inspect.cleandoc(schema.get("description", ""))
