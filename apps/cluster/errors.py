"""Why a machine is not let in."""

from apps.core.errors import Conflict, DomainError, Forbidden


class ContractMismatch(DomainError):  # noqa: N818 - named for what happened, as in apps.core.errors
    """Agent and server speak versions of the node protocol that are too far apart."""

    status = 426
    code = "contract_mismatch"
    title = "Agent and server do not understand each other"

    def __init__(self, *, theirs: int, ours: int) -> None:
        older = "agent" if theirs < ours else "server"
        super().__init__(
            f"The agent speaks version {theirs} of the node protocol, the server version {ours}.",
            remedy=f"Upgrade the {older}: a version and the one before it work together.",
            extra={"reported": theirs, "current": ours},
        )


class JoinRefused(Forbidden):
    """The join token does not open this door."""

    code = "join_refused"
    title = "The node may not join"
    remedy = "Ask an administrator for a new join token (`cox worker token` or POST /api/v1/join-tokens)."


class NameTaken(Conflict):
    """Two living machines want one name."""

    code = "name_taken"
    title = "The node's name is taken"
    remedy = "Give this node another name, or stop the other one and wait for its lease to end."
