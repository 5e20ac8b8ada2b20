"""Nodes: list, find, drain."""

import builtins

from coxswain.client.errors import NotFound
from coxswain.client.models import Node
from coxswain.client.transport import Transport


class Nodes:
    """The machines of the cluster."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, limit: int | None = None) -> builtins.list[Node]:
        """List nodes by name, with what runs on each."""
        pages = self._transport.pages("nodes", limit=limit, ordering="name")
        return [Node.model_validate(item) for item in pages]

    def find(self, name: str) -> Node:
        """Read a node by its name.

        Raises:
            NotFound: there is none.
        """
        for item in self._transport.pages("nodes", name=name):
            return Node.model_validate(item)
        raise NotFound(f"There is no node {name!r}: `cox node list` shows them")

    def drain(self, name: str) -> Node:
        """Give the node no new jobs; those it has go on.

        Raises:
            NotFound: there is none of this name.
            ApiError: the caller is no administrator.
        """
        return self._command(name, "drain")

    def undrain(self, name: str) -> Node:
        """Give the node new jobs again."""
        return self._command(name, "undrain")

    def _command(self, name: str, verb: str) -> Node:
        return Node.model_validate(self._transport.post(f"nodes/{self.find(name).id}/{verb}"))
