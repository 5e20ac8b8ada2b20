"""What the shell offers after TAB: names from the server, if it answers at once; nothing otherwise.

A completion must never print, wait or fail: whoever presses TAB is in the middle of a line.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coxswain.client import Client

_TIMEOUT_S = 1.5
_LIMIT = 50

Offer = tuple[str, str]
"""What is completed, and what the shell shows beside it."""


def job_references(incomplete: str) -> list[Offer]:
    """Offer numbers, and ids once one is begun; a name finds its jobs, for the words beside the numbers."""

    def jobs(client: "Client") -> Iterator[Offer]:
        is_name = incomplete and not incomplete.isdigit()
        for job in client.jobs.list(limit=_LIMIT):
            text = f"{job.name}, {job.state}"
            if str(job.number).startswith(incomplete):
                yield str(job.number), text
            elif is_name and job.id.startswith(incomplete):
                yield job.id, f"#{job.number} {text}"
            elif is_name and job.name.startswith(incomplete):
                yield job.name, f"#{job.number}, {job.state}"

    return _ask(jobs)


def dataset_names(incomplete: str) -> list[Offer]:
    """Offer datasets."""
    return _ask(
        lambda client: _begun(incomplete, ((item.name, item.description) for item in client.datasets.list(limit=None)))
    )


def version_names(incomplete: str) -> list[Offer]:
    """Offer model versions."""
    return _ask(lambda client: _begun(incomplete, ((item.name, item.stage) for item in client.models.list())))


def node_names(incomplete: str) -> list[Offer]:
    """Offer nodes."""
    return _ask(lambda client: _begun(incomplete, ((item.name, item.state) for item in client.nodes.list())))


def secret_names(incomplete: str) -> list[Offer]:
    """Offer secrets of the default project."""
    return _ask(lambda client: _begun(incomplete, ((item.name, "") for item in client.secrets.list())))


def _begun(incomplete: str, offers: Iterable[Offer]) -> Iterator[Offer]:
    return (offer for offer in offers if offer[0].startswith(incomplete))


def _ask(read: Callable[["Client"], Iterable[Offer]]) -> list[Offer]:
    from coxswain.client import Client, CoxswainError

    try:
        with Client(timeout_s=_TIMEOUT_S, num_tries=1) as client:
            return list(dict(read(client)).items())
    except CoxswainError:
        return []
