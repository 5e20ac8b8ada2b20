"""A cluster for tests: agents that speak the node API over HTTP, with scripted ranks in place of processes."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.cluster.models import Node
from apps.cluster.services import create_join_token
from apps.core import health
from apps.datasets.models import Dataset, DatasetVersion, VersionState
from apps.jobs import scheduling
from apps.jobs.models import Job
from apps.jobs.services import Submission, submit_job
from apps.model_registry.models import Model, ModelVersion
from apps.projects.models import Project
from apps.storage.models import Artifact, FileSet, FileSetEntry
from workers.contract import CONTRACT_VERSION
from workers.contract.manifest import FileRef, set_digest

MODEL_FILES = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "model.safetensors": b"tensors",
}
TRAIN_SPEC: dict[str, Any] = {"kind": "train", "data": {"dataset": "corpus"}, "steps": 100}


def make_file_set(project: Project, **contents: bytes) -> FileSet:
    """Store rows of a set of files; ``name=b"content"``."""
    refs = [
        FileRef(path=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        for name, data in contents.items()
    ]
    file_set = FileSet.objects.create(
        workspace=project.workspace,
        digest=set_digest(refs),
        num_files=len(refs),
        size_bytes=sum(ref.size_bytes for ref in refs),
    )
    for ref in refs:
        artifact, _ = Artifact.objects.get_or_create(
            workspace=project.workspace,
            sha256=ref.sha256,
            defaults={"size_bytes": ref.size_bytes, "storage_key": f"{file_set.pk.hex}/{ref.path}"},
        )
        FileSetEntry.objects.create(file_set=file_set, path=ref.path, artifact=artifact)
    return file_set


def make_dataset(project: Project, name: str = "corpus", *, state: str = VersionState.READY) -> DatasetVersion:
    """Make a dataset with one version."""
    dataset = Dataset.objects.create(workspace=project.workspace, project=project, name=name)
    return DatasetVersion.objects.create(
        workspace=project.workspace,
        dataset=dataset,
        number=1,
        file_set=make_file_set(project, text=f"text of {name}".encode()),
        state=state,
    )


def make_model_version(project: Project, name: str = "base") -> ModelVersion:
    """Make a model with one version."""
    model = Model.objects.create(workspace=project.workspace, project=project, name=name, last_version_number=1)
    file_set = make_file_set(project, config=f"config of {name}".encode())
    return ModelVersion.objects.create(workspace=project.workspace, model=model, number=1, file_set=file_set)


def submit(project: Project, actor: User, **fields: Any) -> Job:
    """Submit a training job through the service."""
    values: dict[str, Any] = {"project_id": project.pk, "name": "run", "spec": TRAIN_SPEC} | fields
    return submit_job(actor=actor, submission=Submission(**values))


def run_pass() -> scheduling.PassReport:
    """Run one pass of the scheduler."""
    return scheduling.run_pass()


def control_plane_up_for(seconds: float) -> None:
    """Pretend that web and scheduler have been up for so long: the fake clock at the database's edge."""
    for name in (health.WEB, health.SCHEDULER):
        health.beat(name)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE core_servicebeat SET up_since = clock_timestamp() - make_interval(secs => %s)", [seconds]
        )


def silence(node: Node, seconds: float) -> None:
    """Pretend that nothing was heard from the node for so long."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE cluster_node SET last_seen_at = clock_timestamp() - make_interval(secs => %s) WHERE id = %s",
            [seconds, node.pk],
        )


def age_attempts(seconds: float) -> None:
    """Pretend that every attempt and claim happened so long ago."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_attempt SET created_at = created_at - make_interval(secs => %s)", [seconds])
        cursor.execute(
            "UPDATE jobs_allocation SET claimed_at = claimed_at - make_interval(secs => %s), "
            "updated_at = updated_at - make_interval(secs => %s)",
            [seconds, seconds],
        )


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    """Wait for ``condition``; fail when it does not come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@dataclass
class FakeAgent:
    """An agent without processes: what it says is scripted by the test."""

    name: str = "n1"
    slots: int = 2
    pool: str = "default"
    boot_id: str = "boot-1"
    client: APIClient = field(default_factory=APIClient)
    node_id: str = ""

    def join(self, secret: str | None = None) -> "FakeAgent":
        """Join the cluster."""
        secret = secret or create_join_token(name=self.name, is_reusable=True).secret
        response = self.client.post("/api/node/v1/join", self.join_body(secret))
        assert response.status_code == 200, response.content
        reply = response.json()
        self.node_id = reply["node_id"]
        self.client.credentials(HTTP_AUTHORIZATION=f"Bearer {reply['node_token']}")
        return self

    def join_body(self, secret: str, **changes: Any) -> dict[str, Any]:
        """Return a JoinRequest."""
        devices = [{"index": index, "kind": "cpu", "name": "core"} for index in range(self.slots)]
        return {
            "contract_version": CONTRACT_VERSION,
            "join_token": secret,
            "name": self.name,
            "pool": self.pool,
            "hostname": f"host-{self.name}",
            "address": "127.0.0.1",
            "boot_id": self.boot_id,
            "agent_version": "0.1.0",
            "devices": devices,
            "cpu_count": self.slots,
            "memory_bytes": 1 << 30,
        } | changes

    @property
    def node(self) -> Node:
        """The row of this node."""
        return Node.objects.get(pk=self.node_id)

    def beat(self, *held: dict[str, Any]) -> dict[str, Any]:
        """Send a heartbeat holding ``held``; return the reply."""
        body = {"contract_version": CONTRACT_VERSION, "boot_id": self.boot_id, "allocations": list(held)}
        response = self.client.post("/api/node/v1/heartbeat", body)
        assert response.status_code == 200, response.content
        reply: dict[str, Any] = response.json()
        return reply

    def offer(self) -> dict[str, Any]:
        """Return the one open offer."""
        (offer,) = self.beat()["offers"]
        assert isinstance(offer, dict)
        return offer

    def claim(self, offer: dict[str, Any], *, port: int = 29500) -> Any:
        """Claim an offer; return the response."""
        body = {"fence": offer["fence"], "master_addr": "127.0.0.1", "master_port": port}
        return self.client.post(f"/api/node/v1/allocations/{offer['allocation_id']}/claim", body)

    def report(self, offer: dict[str, Any], kind: str, **fields: Any) -> Any:
        """Send a report; return the response."""
        body = {"type": kind, "fence": offer["fence"], "time_us": 1, **fields}
        return self.client.post(f"/api/node/v1/allocations/{offer['allocation_id']}/report", body)

    def start(self) -> dict[str, Any]:
        """Claim the open offer and report its ranks running."""
        offer = self.offer()
        assert self.claim(offer).status_code == 200
        assert self.report(offer, "running", pids=[1, 2], warm=True).status_code == 200
        return offer

    def upload(self, offer: dict[str, Any], data: bytes) -> dict[str, Any]:
        """Send a file through the transfer protocol; return its manifest entry without the path."""
        base = f"/api/node/v1/allocations/{offer['allocation_id']}/uploads"
        ref = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
        announced = self.client.post(base, ref)
        assert announced.status_code == 200, announced.content
        if not announced.json()["complete"]:
            upload = f"{base}/{announced.json()['upload_id']}"
            sent = self.client.put(f"{upload}/parts/0", data, content_type="application/octet-stream")
            assert sent.status_code == 204, sent.content
            finished = self.client.post(f"{upload}/finalise")
            assert finished.status_code == 200, finished.content
            assert finished.json()["complete"]
        return ref

    def manifest(self, offer: dict[str, Any], contents: dict[str, bytes]) -> dict[str, Any]:
        """Upload files and return their manifest."""
        return {"files": [{"path": name, **self.upload(offer, data)} for name, data in contents.items()]}

    def checkpoint(self, offer: dict[str, Any], step: int, **fields: Any) -> Any:
        """Upload and report a checkpoint; return the response."""
        manifest = self.manifest(offer, {"weights": f"{offer['allocation_id']} step {step}".encode()})
        return self.report(offer, "checkpoint", step=step, manifest=manifest, **fields)

    def part(self, offer: dict[str, Any], step: int, part: int, *, of: int = 2, **contents: bytes) -> Any:
        """Upload and report one part of a checkpoint; return the response."""
        own = {f"rank{part}": f"rank {part} step {step} of fence {offer['fence']}".encode()}
        manifest = self.manifest(offer, own | contents)
        return self.report(offer, "checkpoint", step=step, manifest=manifest, part=part, num_parts=of)

    def model(self, offer: dict[str, Any], **fields: Any) -> Any:
        """Upload and report a trained model; return the response."""
        return self.report(
            offer, "model", manifest=self.manifest(offer, MODEL_FILES), **({"num_parameters": 123} | fields)
        )

    def exit(self, offer: dict[str, Any], outcome: str, **fields: Any) -> Any:
        """Report the end of all ranks; return the response."""
        return self.report(offer, "exit", outcome=outcome, **fields)

    @staticmethod
    def holding(offer: dict[str, Any], state: str = "running") -> dict[str, Any]:
        """Return what a heartbeat says of a held allocation."""
        return {"allocation_id": offer["allocation_id"], "fence": offer["fence"], "state": state}


def job_id_of(offer: dict[str, Any]) -> UUID:
    """Return the job behind an offer."""
    return Job.objects.get(attempts__allocations=offer["allocation_id"]).pk
