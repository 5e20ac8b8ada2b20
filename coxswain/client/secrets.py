"""Secrets of a project: set, list, delete. Their values go in and never come out."""

import builtins
from collections.abc import Callable

from coxswain.client.models import Secret
from coxswain.client.transport import Transport


class Secrets:
    """The credentials that jobs of a project may be given."""

    def __init__(self, transport: Transport, default_project: Callable[[], str]) -> None:
        self._transport = transport
        self._default_project = default_project

    def set(self, name: str, value: str, *, project: str | None = None) -> Secret:
        """Make a secret, or give it another value.

        Raises:
            ApiError: the name or the value is refused.
        """
        answer = self._transport.request("PUT", self._address(project, name), body={"value": value})
        return Secret.model_validate(answer.json())

    def list(self, *, project: str | None = None) -> builtins.list[Secret]:
        """List a project's secrets by name."""
        pages = self._transport.pages(self._address(project), ordering="name")
        return [Secret.model_validate(item) for item in pages]

    def delete(self, name: str, *, project: str | None = None) -> None:
        """Delete a secret.

        Raises:
            ApiError: there is none of this name.
        """
        self._transport.request("DELETE", self._address(project, name))

    def _address(self, project: str | None, name: str | None = None) -> str:
        base = f"projects/{project or self._default_project()}/secrets"
        return base if name is None else f"{base}/{name}"
