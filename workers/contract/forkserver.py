"""The protocol between an agent and the fork server of its node.

The agent starts ``python -m workers.runtime.forkserver`` with one end of a Unix stream socket as file
descriptor 3. Each message is one line of JSON. The server answers requests in order and sends
``exited`` on its own when a rank ends. When the socket closes, the server kills its ranks and exits.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from workers.contract.base import ContractModel


class ForkRequest(ContractModel):
    """Fork one rank."""

    type: Literal["fork"] = "fork"
    request_id: str
    run_file: str
    """Path of a RunFile."""
    env: dict[str, str]
    """The rank's whole environment, torchrun's variables included."""
    cwd: str
    stdout_path: str
    stderr_path: str
    user: str | None = None
    """Unix user to become, when the server is root."""


class RetireRequest(ContractModel):
    """Fork no more; exit after the last child."""

    type: Literal["retire"] = "retire"


class ReadyReply(ContractModel):
    """Imports are done; sent once."""

    type: Literal["ready"] = "ready"
    pid: int
    import_s: float


class ForkedReply(ContractModel):
    """The rank runs, as leader of its own session."""

    type: Literal["forked"] = "forked"
    request_id: str
    pid: int


class ForkFailedReply(ContractModel):
    """No rank was started."""

    type: Literal["fork_failed"] = "fork_failed"
    request_id: str
    message: str


class ExitedReply(ContractModel):
    """A rank ended; ``code`` is negative for a signal, as in subprocess."""

    type: Literal["exited"] = "exited"
    pid: int
    code: int


Request = Annotated[ForkRequest | RetireRequest, Field(discriminator="type")]
Reply = Annotated[ReadyReply | ForkedReply | ForkFailedReply | ExitedReply, Field(discriminator="type")]

REQUEST_ADAPTER: TypeAdapter[Request] = TypeAdapter(Request)
REPLY_ADAPTER: TypeAdapter[Reply] = TypeAdapter(Reply)
