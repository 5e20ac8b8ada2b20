"""Every address of the REST API, from its OpenAPI schema."""

import os
import re
from collections import defaultdict
from typing import Any

from scripts.docs_site.markdown import cell, code, table
from scripts.docs_site.schema import Schema, field_table, type_text

_INTRODUCTION = """# REST API

Send a token as `Authorization: Bearer cox_...`; bodies are JSON. Every refusal is `application/problem+json` with
`code`, `errors` (one per field), `remedy` and `request_id`. Lists answer `results` and `next`, the address of the next
page. A POST with an `Idempotency-Key` may be sent again. The machine-readable schema is at `/api/schema/`, a page to
try it out at `/api/docs/`.

"""


def openapi() -> dict[str, Any]:
    """Generate the schema, as `/api/schema/` answers it."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "controlplane.settings.test"  # needs no service and no secret
    import django

    django.setup()
    from drf_spectacular.generators import SchemaGenerator

    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    schema: dict[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return schema


def page() -> str:
    """Write the page."""
    schema = openapi()
    definitions: dict[str, Schema] = schema["components"]["schemas"]
    links = {name: f"schema-{name.lower()}" for name in definitions}
    groups: dict[str, list[str]] = defaultdict(list)
    for path, methods in sorted(schema["paths"].items()):
        for method, operation in methods.items():
            groups[(operation.get("tags") or ["other"])[0]].append(_operation(method, path, operation, links))
    text = _INTRODUCTION
    for name, operations in sorted(groups.items()):
        text += f"## {name}\n\n" + "".join(operations)
    text += "## Schemas\n\n"
    for name, definition in sorted(definitions.items()):
        body = field_table(definition, links) or f"{type_text(definition, links)}\n"
        text += f"### {name} {{ #{links[name]} }}\n\n{cell(definition.get('description', ''))}\n\n{body}\n"
    return text


def _operation(method: str, path: str, operation: dict[str, Any], links: dict[str, str]) -> str:
    anchor = re.sub(r"[^a-z0-9]+", "-", f"{method}-{path}".lower()).strip("-")
    text = f"### {method.upper()} {path} {{ #{anchor} }}\n\n{operation.get('description', '').strip()}\n\n"
    rows = [
        (code(item["name"]), item["in"], type_text(item["schema"], links), item.get("description", ""))
        for item in operation.get("parameters", ())
    ]
    text += table(("Parameter", "In", "Type", "Meaning"), rows) + "\n"
    body = operation.get("requestBody", {}).get("content", {})
    for kind, content in body.items():
        text += f"Body ({kind}): {type_text(content.get('schema', {}), links)}\n\n"
    answers = [
        f"{status} {_answer(answer, links)}".strip()
        for status, answer in operation.get("responses", {}).items()
        if str(status).startswith("2")
    ]
    return text + f"Answers: {', '.join(answers)}\n\n"


def _answer(answer: dict[str, Any], links: dict[str, str]) -> str:
    shapes = [type_text(content.get("schema", {}), links) for content in answer.get("content", {}).values()]
    return " or ".join(dict.fromkeys(shapes))
