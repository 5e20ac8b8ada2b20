"""Walks Django's URL tables, so that tests meet every route there is and not a list somebody keeps."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

_METHODS = ("get", "post", "put", "patch", "delete")
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one address; ``template`` is below the prefix."""

    method: str
    prefix: str
    template: str

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    @property
    def is_safe(self) -> bool:
        """Return whether it only reads."""
        return self.method == "GET"

    @property
    def parameters(self) -> list[str]:
        """Return the names in the address."""
        return _PARAMETER.findall(self.template)

    def address(self, values: dict[str, Any]) -> str:
        """Fill the address."""
        return f"/{self.prefix}" + _PARAMETER.sub(lambda found: str(values[found[1]]), self.template)


def routes_under(prefix: str) -> list[Route]:
    """List every method of every address below ``prefix``."""
    found = []
    for template, pattern in _walk(get_resolver().url_patterns, ""):
        if template.startswith(prefix):
            found += [Route(method.upper(), prefix, template.removeprefix(prefix)) for method in _methods(pattern)]
    return found


def _walk(patterns: list[Any], above: str) -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, above + str(pattern.pattern))
        else:
            yield above + str(pattern.pattern), pattern


def _methods(pattern: URLPattern) -> list[str]:
    """Return what a view answers to; one that does not say is taken to answer everything."""
    callback: Any = pattern.callback
    if actions := getattr(callback, "actions", None):
        return [method for method in _METHODS if method in actions]
    view = getattr(callback, "cls", None) or getattr(callback, "view_class", None)
    return [method for method in _METHODS if view is None or hasattr(view, method)]
