"""Routes of REST view sets: no trailing slash, ids are UUIDs unless the view set says otherwise."""

from typing import Any

from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ViewSetMixin


class ApiRouter(SimpleRouter):
    """A router whose ``{id}`` matches UUIDs alone, so a malformed id is a 404 and never reaches the database."""

    def __init__(self) -> None:
        super().__init__(trailing_slash=False, use_regex_path=False)

    def get_lookup_regex(self, viewset: type[ViewSetMixin], lookup_prefix: str = "") -> Any:
        """Return the path converter; ``lookup_value_converter`` of the view set overrides ``uuid``."""
        field = getattr(viewset, "lookup_field", "pk")
        kwarg = getattr(viewset, "lookup_url_kwarg", None) or field
        return f"<{getattr(viewset, 'lookup_value_converter', 'uuid')}:{lookup_prefix}{kwarg}>"
