"""Printing a rank's output, page by page, and following it live.

The job's stream says that there is more; the text itself is always read from where the last page stopped. So nothing
is printed twice and nothing is left out, over restarts of the server and of the job.
"""

import sys
from functools import partial
from typing import TYPE_CHECKING

from coxswain.cli.output import print_json_line
from coxswain.client.outages import outlast

if TYPE_CHECKING:
    from coxswain.client import Client, Job
    from coxswain.client.models import LogPage


class LogPrinter:
    """Writes one rank's output to stdout, each byte once."""

    def __init__(self, client: "Client", job: "Job", *, rank: int, stream: str, as_json: bool = False) -> None:
        self._client = client
        self._job = job
        self._rank = rank
        self._stream = stream
        self._as_json = as_json
        self._attempt: int | None = None
        self._offset = 0
        self._is_patient = False

    def print_all(self, *, follow: bool) -> None:
        """Print what is there; with ``follow``, go on until the job has ended.

        When the job starts again meanwhile, the output of the new attempt follows from its beginning.
        """
        after = self._client.jobs.get(self._job.id).seq  # read first: what comes later is in the stream
        self._print_new()
        if not follow:
            return
        self._is_patient = True
        for item in self._client.jobs.follow(self._job.id, after=after):
            if item.get("kind") in {"job", "snapshot"}:
                self._print_new()
            elif item.get("kind") == "logs" and (item["rank"], item["stream"]) == (self._rank, self._stream):
                self._print_rest()
        self._print_new()

    def _print_new(self) -> None:
        """Print the rest of the attempt at hand, then what a newer one has written."""
        self._print_rest()
        newest = self._read(None)
        if newest is not None and newest.attempt != self._attempt:
            self._attempt, self._offset = newest.attempt, 0
            self._print_rest()

    def _print_rest(self) -> None:
        while True:
            page = self._read(self._attempt)
            if page is None or page.stop == page.start:
                return
            self._write(page)
            if page.stop >= page.size_bytes:
                return

    def _write(self, page: "LogPage") -> None:
        if self._as_json:
            place = {"attempt": page.attempt, "rank": page.rank, "stream": page.stream}
            print_json_line({**place, "start": page.start, "stop": page.stop, "text": page.text})
        else:
            sys.stdout.write(page.text)
            sys.stdout.flush()
        self._attempt, self._offset = page.attempt, page.stop

    def _read(self, attempt: int | None) -> "LogPage | None":
        """Read from the offset; None while no attempt has written anything and so there is no log."""
        from coxswain.client import ApiError

        read = partial(
            self._client.jobs.logs, self._job.id, rank=self._rank, stream=self._stream, attempt=attempt,
            offset=self._offset if attempt is not None else 0,
        )  # fmt: skip
        try:
            return outlast(read) if self._is_patient else read()
        except ApiError as error:
            if error.is_not_found:  # of the log: the job itself has just been read
                return None
            raise
