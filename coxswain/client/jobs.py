"""Jobs: submit, look, wait, follow, stop."""

import builtins
import itertools
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from coxswain.client.downloads import download_file
from coxswain.client.errors import ApiError, CoxswainError, JobDidNotSucceed, Unreachable
from coxswain.client.models import FINAL_STATES, Job, JobFile, StreamBatch
from coxswain.client.sources import upload_source
from coxswain.client.transport import Json, Transport

_POLL_WAIT_S = 20
_OUTAGE_PAUSE_S = 1.0


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
        return Job.model_validate(self._transport.post("jobs", body, headers=headers))

    def upload_source(self, folder: Path, *, project: str | None = None) -> Json:
        """Send a folder as the source of a script job; the answer is the spec's ``code``.

        Raises:
            CoxswainError: the folder does not exist, or git fails in it.
        """
        return upload_source(self._transport, folder, project=project or self._default_project())

    def get(self, job_id: str) -> Job:
        """Read one job."""
        return Job.model_validate(self._transport.get(f"jobs/{job_id}"))

    def find(self, reference: str) -> Job:
        """Read the job that a person names: by id, or by its number (``12`` or ``#12``).

        Raises:
            CoxswainError: no job, or more than one, has that number.
        """
        number = reference.removeprefix("#")
        if not number.isdigit():
            return self.get(reference)
        found = [Job.model_validate(item) for item in self._transport.pages("jobs", number=number, limit=2)]
        if len(found) != 1:
            raise CoxswainError(f"{'No' if not found else 'More than one'} job has number {number}: give its id")
        return found[0]

    def list(self, *, limit: int = 50, **filters: Any) -> builtins.list[Job]:
        """List jobs, newest first; ``filters`` are the REST API's (state, kind, project, ...)."""
        return [Job.model_validate(item) for item in self._transport.pages("jobs", limit=limit, **filters)]

    def cancel(self, job_id: str) -> Job:
        """Ask the job to save and stop."""
        return self._command(job_id, "cancel")

    def kill(self, job_id: str) -> Job:
        """End the job now."""
        return self._command(job_id, "kill")

    def rerun(self, job_id: str) -> Job:
        """Submit the same spec again as a new job."""
        return self._command(job_id, "rerun")

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
        is_over = job.is_final
        while True:
            try:  # nothing comes after the end, so there is nothing to wait for
                batch = self.stream(job_id, after=seq, wait_s=0 if is_over else _POLL_WAIT_S)
                if is_over and not batch.messages:
                    return
                is_over = is_over or (not batch.messages and self.get(job_id).is_final)
            except (Unreachable, ApiError) as error:
                if isinstance(error, ApiError) and error.status < 500:
                    raise
                time.sleep(_OUTAGE_PAUSE_S)
                continue
            for item in itertools.chain.from_iterable(map(_items, batch.messages)):
                is_over = is_over or _tells_the_end(item)
                yield item
            seq = batch.seq

    def wait(self, job_id: str, *, timeout_s: float | None = None) -> Job:
        """Wait until the job has succeeded.

        Raises:
            JobDidNotSucceed: it ended otherwise; the message gives the state and the reason.
            TimeoutError: ``timeout_s`` seconds have passed.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        job = self.get(job_id)
        while not job.is_final:
            left_s = _POLL_WAIT_S if deadline is None else deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"{job.name} #{job.number} is still {job.state}")
            self.stream(job_id, after=job.seq, wait_s=max(1, min(_POLL_WAIT_S, int(left_s))))
            job = self.get(job_id)
        if job.state != "succeeded":
            raise JobDidNotSucceed(f"{job.name} #{job.number} {job.state}: {job.state_reason or 'no reason given'}")
        return job

    def logs(self, job_id: str, *, rank: int = 0, stream: str = "stdout", offset: int = 0) -> Json:
        """Read one page of a rank's output from byte ``offset``."""
        return self._transport.get(f"jobs/{job_id}/logs", rank=rank, stream=stream, offset=offset)

    def losses(self, job_id: str, *, max_points: int = 100_000) -> builtins.list[float]:
        """Read the training loss of rank 0 at each reporting step, in order, over all attempts."""
        path = f"jobs/{job_id}/metrics/points"
        curve = self._transport.get(path, key="loss", rank=0, max_points=max_points)
        return [float(value) for value in curve["values"]]  # non-finite ones come as their names

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
        return Job.model_validate(self._transport.post(f"jobs/{job_id}/{verb}"))


def _tells_the_end(item: Json) -> bool:
    return item.get("kind") == "job" and item["job"]["state"] in FINAL_STATES


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
