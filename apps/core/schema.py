"""OpenAPI: every operation names the problem documents it may answer with."""

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Why a request was refused (RFC 9457).",
    "required": ["type", "title", "status", "code", "detail", "errors", "remedy", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable; for programs."},
        "detail": {"type": "string", "description": "One sentence for a person."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "field": {"type": "string", "description": "Dotted path; empty for the whole input."},
                    "message": {"type": "string"},
                },
            },
        },
        "remedy": {"type": "string", "description": "What to do about it."},
        "request_id": {"type": "string"},
    },
}

_STANDARD_ACTIONS = frozenset({"list", "retrieve", "create", "update", "partial_update", "destroy"})


class ApiSchema(AutoSchema):
    """Names operations of a view set's own actions by the action, so that two on one address do not collide."""

    def get_operation_id(self) -> str:
        """Return the operation's name in the schema."""
        action: str | None = getattr(self.view, "action", None)
        basename = getattr(self.view, "basename", None)
        if action is None or action in _STANDARD_ACTIONS or not basename:
            made: str = super().get_operation_id()
            return made
        return f"{basename}_{action}".replace("-", "_")


class InputSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Bodies of requests have the keys that are named, and no other."""

    target_class = "apps.core.serializers.InputSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        """Return the schema object."""
        made = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return {**made, "additionalProperties": False}


_REFERENCE = {"$ref": "#/components/schemas/Problem"}
_METHODS = frozenset({"get", "put", "post", "patch", "delete"})
_TEXT = {
    "400": "The input is not valid.",
    "401": "Not signed in.",
    "403": "Not allowed.",
    "404": "Does not exist, or may not be seen.",
    "409": "Conflicts with the current state.",
    "413": "Too large.",
    "429": "A limit is reached.",
    "503": "A service behind this one is not available.",
}


def add_problems(result: dict[str, Any], generator: object, request: object, public: bool) -> dict[str, Any]:  # noqa: FBT001 - drf-spectacular's signature
    """Add the problem schema and the refusals that each operation may give (a post-processing hook)."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
    for path, operations in result.get("paths", {}).items():
        for method, operation in operations.items():
            if method in _METHODS:
                _describe(path, method, operation)
    return result


def _describe(path: str, method: str, operation: dict[str, Any]) -> None:
    statuses = {"400", "401", "403", "503"}
    if "{" in path:
        statuses.add("404")
    if method != "get":
        statuses |= {"404", "409", "413", "429"}
    for status in sorted(statuses):
        operation["responses"].setdefault(
            status,
            {"description": _TEXT[status], "content": {"application/problem+json": {"schema": _REFERENCE}}},
        )


def only_api_for_people(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """Leave the nodes' API out of the published schema: its contract is in ``workers.contract``."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/v1/")]
