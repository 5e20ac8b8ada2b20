"""Printing a rank's output, page by page, and following it live."""

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coxswain.client import Client, Job
    from coxswain.client.transport import Json

_POLL_S = 0.5
_NOT_FOUND = 404


def print_logs(client: "Client", job: "Job", *, rank: int, stream: str, follow: bool) -> None:
    """Write what a rank has printed to stdout; with ``follow``, until the job has ended.

    When the job starts again meanwhile, the output of the new attempt follows from its beginning.
    """
    offset, attempt = 0, None
    while True:
        is_final = client.jobs.get(job.id).is_final if follow else True  # asked first: then the page is the whole rest
        page = _read_page(client, job, rank=rank, stream=stream, offset=offset)
        if page is not None and attempt is not None and page["attempt"] != attempt:
            offset, attempt = 0, page["attempt"]
            continue
        if page is not None and page["stop"] > offset:
            sys.stdout.write(page["text"])
            sys.stdout.flush()
            offset, attempt = page["stop"], page["attempt"]
        elif is_final:
            return
        else:
            time.sleep(_POLL_S)


def _read_page(client: "Client", job: "Job", *, rank: int, stream: str, offset: int) -> "Json | None":
    """Read a page from ``offset``; None while the job has had no attempt and so has no log."""
    from coxswain.client import ApiError

    try:
        return client.jobs.logs(job.id, rank=rank, stream=stream, offset=offset)
    except ApiError as error:
        if error.status == _NOT_FOUND:  # of the log: the job itself has just been read
            return None
        raise
