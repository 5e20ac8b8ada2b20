"""Jobs: submit, look, wait, follow, stop.

What waits or follows survives outages: it asks again until the control plane is back.
"""

import builtins
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from coxswain.client.downloads import download_file
from coxswain.client.errors import ApiError, CoxswainError, JobDidNotSucceed, NotFound
from coxswain.client.job import FINAL_STATES, Job
from coxswain.client.models import Curve, JobFile, LogPage, StreamBatch
from coxswain.client.outages import outlast
from coxswain.client.progress import ProgressLine, is_watched
from coxswain.client.sources import upload_source
from coxswain.client.transport import Json, Transport

_POLL_WAIT_S = 20
_END_WAIT_S = 1
"""After the last state: what was still on its way arrives within this."""
_MAX_KEYS = 64
"""Curves that one request may ask for."""


class Jobs:
    """The jobs a caller may see."""

    def __init__(self, transport: Transport, default_project: Callable[[], str]) -> None:
        self._transport = transport
        self._default_project = default_project

    def submit(
        self,
        spec: Mapping[str, Any],
        *,
        name: str,
        project: str | None = None,
        pool: str = "default",
        nodes: int = 1,
        min_nodes: int | None = None,
        max_nodes: int | None = None,
        slots_per_node: int = 1,
        priority: int = 0,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a job; the request repeats safely, for it carries a key of its own.

        Raises:
            ApiError: the spec or the resources are refused; ``errors`` names the fields.
        """
        body = {
            "project": project or self._default_project(),
            "name": name,
            "spec": dict(spec),
            "resources": {
                "pool": pool,
                "nodes": nodes,
                "min_nodes": min_nodes,
                "max_nodes": max_nodes,
                "slots_per_node": slots_per_node,
            },
            "priority": priority,
        }
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self._job(self._transport.post("jobs", body, headers=headers))

    def upload_source(self, folder: Path, *, project: str | None = None) -> Json:
        """Send a folder as the source of a script job; the answer is the spec's ``code``.

        Raises:
            CoxswainError: the folder does not exist, or git fails in it.
        """
        return upload_source(self._transport, folder, project=project or self._default_project())

    def get(self, job_id: str) -> Job:
        """Read one job."""
        return self._job(self._transport.get(f"jobs/{job_id}"))

    def find(self, reference: str) -> Job:
        """Read the job that a person names: by id, by its number (``12`` or ``#12``), or by a name that only it has.

        Raises:
            NotFound: no job, or more than one, is called so.
        """
        if _is_uuid(reference):
            return self.get(reference)
        number = reference.removeprefix("#")
        if number.isdigit():
            found = self.list(number=number, limit=2)
        else:
            found = [job for job in self.list(search=reference, limit=None) if job.name == reference]
        if not found:
            raise NotFound(f"There is no job {reference!r}: `cox job list` shows what you may see")
        if len(found) > 1:
            several = ", ".join(f"#{job.number} ({job.id})" for job in found[:5])
            raise NotFound(f"More than one job is called {reference!r}: {several}. Give the number or the id")
        return self.get(found[0].id)

    def list(self, *, limit: int | None = 50, **filters: Any) -> builtins.list[Job]:
        """List jobs, newest first; ``filters`` are the REST API's (state, kind, project, search, ...)."""
        return [self._job(item) for item in self._transport.pages("jobs", limit=limit, **filters)]

    def cancel(self, job_id: str) -> Job:
        """Ask the job to save and stop."""
        return self._command(job_id, "cancel")

    def kill(self, job_id: str) -> Job:
        """End the job now."""
        return self._command(job_id, "kill")

    def rerun(self, job_id: str, *, spec: Mapping[str, Any] | None = None) -> Job:
        """Submit the same spec again as a new job; or ``spec`` in its place, with the same name and resources."""
        if spec is None:
            return self._command(job_id, "rerun")
        job = self._transport.get(f"jobs/{job_id}")
        return self.submit(spec, name=job["name"], project=job["project"], priority=job["priority"], **job["resources"])

    def page_url(self, job_id: str) -> str:
        """The job's page in the dashboard."""
        return f"{self._transport.url}/jobs/{job_id}"

    def stream(self, job_id: str, *, after: int, wait_s: int = _POLL_WAIT_S) -> StreamBatch:
        """Read the live sequence after ``after``; waits up to ``wait_s`` seconds for something to come."""
        response = self._transport.request(
            "GET", f"jobs/{job_id}/stream", params={"after": after, "wait_s": wait_s}, timeout_s=wait_s + 30
        )
        return StreamBatch.model_validate(response.json())

    def follow(self, job_id: str, *, after: int | None = None) -> Iterator[Json]:
        """Yield what happens to the job, in order and without a gap, until it has ended.

        Each item is one of the stream's data objects (``kind``: job, metrics, logs, event, checkpoint). Survives
        restarts of the server: it goes on where it was. Far behind the head, a ``snapshot`` item says that messages
        were left out; the next ones are complete again.
        """
        job = self.get(job_id)
        seq = job.seq if after is None else after
        wait_s = 0 if job.is_final else _POLL_WAIT_S
        while True:
            batch = outlast(partial(self.stream, job_id, after=seq, wait_s=wait_s))
            for item in (item for message in batch.messages for item in _items(message)):
                if item.get("kind") == "job" and item["job"]["state"] in FINAL_STATES:
                    wait_s = _END_WAIT_S
                yield item
            seq = batch.seq
            if not batch.messages:
                job = outlast(partial(self.get, job_id))
                if job.is_final and job.seq <= seq:
                    return

    def wait(self, job_id: str, *, timeout_s: float | None = None, progress: bool | None = None) -> Job:
        """Wait until the job has succeeded; ``progress`` shows a line that moves (default: where somebody looks).

        Raises:
            JobDidNotSucceed: it ended otherwise; the message gives the state and the reason.
            TimeoutError: ``timeout_s`` seconds have passed.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        job = self.get(job_id)
        with ProgressLine(is_shown=is_watched() if progress is None else progress) as line:
            while True:
                line.show(job)
                if job.is_final:
                    break
                left_s = _POLL_WAIT_S if deadline is None else deadline - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError(f"{job.name} #{job.number} is still {job.state}")
                job = self._next_change(job, wait_s=max(1, min(_POLL_WAIT_S, int(left_s))), deadline=deadline)
        if job.state != "succeeded":
            raise JobDidNotSucceed(f"{job.name} #{job.number} {job.state}: {job.state_reason or 'no reason given'}")
        return job

    def logs(
        self, job_id: str, *, rank: int = 0, stream: str = "stdout", offset: int = 0, attempt: int | None = None
    ) -> LogPage:
        """Read one page of a rank's output from byte ``offset``; of the newest attempt that wrote, unless one is named.

        Raises:
            ApiError: 404 while nothing was written.
        """
        page = self._transport.get(f"jobs/{job_id}/logs", rank=rank, stream=stream, offset=offset, attempt=attempt)
        return LogPage.model_validate(page)

    def log_text(self, job_id: str, *, rank: int = 0, stream: str = "stdout") -> str:
        """Read all that a rank has written in the newest attempt; empty while it has written nothing."""
        try:
            page = self.logs(job_id, rank=rank, stream=stream)
        except ApiError as error:
            if error.is_not_found and self.get(job_id):  # of the log: that the job is there has just been seen
                return ""
            raise
        parts = []
        while page.stop > page.start:
            parts.append(page.text)
            page = self.logs(job_id, rank=rank, stream=stream, offset=page.stop, attempt=page.attempt)
        return "".join(parts)

    def metrics(self, job_id: str, *keys: str, rank: int = 0, max_points: int = 100_000) -> dict[str, Curve]:
        """Read curves of one rank, over all attempts, by their keys; all that it has reported when none is named."""
        if not keys:
            answer = self._transport.request("GET", f"jobs/{job_id}/metrics").json()
            keys = tuple(sorted({series["key"] for series in answer if series["rank"] == rank}))
        curves: dict[str, Curve] = {}
        for start in range(0, len(keys), _MAX_KEYS):
            asked = list(keys[start : start + _MAX_KEYS])
            answer = self._transport.get(f"jobs/{job_id}/metrics/curves", key=asked, rank=rank, max_points=max_points)
            curves |= {curve["key"]: Curve(steps=curve["steps"], values=curve["values"]) for curve in answer["curves"]}
        return curves

    def losses(self, job_id: str, *, max_points: int = 100_000) -> builtins.list[float]:
        """Read the training loss of rank 0 at each reporting step, in order, over all attempts."""
        return builtins.list(self.metrics(job_id, "loss", max_points=max_points)["loss"].values)

    def _next_change(self, job: Job, *, wait_s: int, deadline: float | None) -> Job:
        """Wait until something happens to ``job``, or ``wait_s`` seconds; answer it as it is then."""

        def ask() -> Job:
            self.stream(job.id, after=job.seq, wait_s=wait_s)
            return self.get(job.id)

        return outlast(ask, deadline=deadline)

    def files(self, job_id: str) -> builtins.list[JobFile]:
        """List the files that the job has left: of its model, its living checkpoints, and its output."""
        return [JobFile.model_validate(item) for item in self._transport.pages(f"jobs/{job_id}/artifacts")]

    def download_output(self, job_id: str, folder: Path) -> builtins.list[Path]:
        """Write what an export or a script has left below ``folder``; other nodes than the first get a folder each.

        Raises:
            CoxswainError: there is nothing, a file arrived damaged, or its path leads out of the folder.
        """
        found = [file for file in self.files(job_id) if file.kind.startswith("output")]
        if not found:
            raise CoxswainError("The job has left no output; a version that it made comes with `cox model download`")
        written = []
        for file in found:
            node = file.kind.removeprefix("output").removeprefix(" of ").replace(" ", "-")  # empty, or node-<rank>
            address = f"jobs/{job_id}/artifacts/{file.id}/content"
            written.append(download_file(self._transport, address, file, folder / node))
        return written

    def _command(self, job_id: str, verb: str) -> Job:
        return self._job(self._transport.post(f"jobs/{job_id}/{verb}"))

    def _job(self, document: Json) -> Job:
        return Job.bound(document, self)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _items(message: Json) -> Iterator[Json]:
    """Unpack one message of the stream: coalesced ones carry several items."""
    if message.get("type") == "snapshot":
        yield {"kind": "snapshot", "seq": message.get("seq")}
        return
    data = message.get("data", message)
    if data.get("kind") == "batch":
        yield from data["items"]
    else:
        yield data
