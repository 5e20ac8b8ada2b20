"""Printing a rank's output, page by page, and following it live."""

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coxswain.client import Client, Job

_POLL_S = 0.5


def print_logs(client: "Client", job: "Job", *, rank: int, stream: str, follow: bool) -> None:
    """Write what a rank has printed to stdout; with ``follow``, until the job has ended."""
    offset = 0
    while True:
        is_final = client.jobs.get(job.id).is_final if follow else True  # asked first: then the page is the whole rest
        page = client.jobs.logs(job.id, rank=rank, stream=stream, offset=offset)
        sys.stdout.write(page["text"])
        sys.stdout.flush()
        moved = page["stop"] > offset
        offset = page["stop"]
        if not moved and is_final:
            return
        if not moved:
            time.sleep(_POLL_S)
