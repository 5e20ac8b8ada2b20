"""The REST API as the tests of a live stack use it: a person's token, plain HTTP, patience while servers restart."""

import hashlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.live.stack import eventually

logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a poll would bury what failed

Json = Any  # whatever the server answered; each test says what it expects of it
FINAL = {"succeeded", "failed", "error", "cancelled"}


class Api:
    """A caller with a write token, made by logging in as a person does."""

    def __init__(self, url: str, *, username: str, password: str) -> None:
        self.url = url
        with httpx.Client(base_url=f"{url}/api/v1/", timeout=30) as browser:
            headers = {"X-CSRFToken": browser.get("auth/session").json()["csrf_token"], "Referer": url}
            browser.post(
                "auth/login", json={"username": username, "password": password}, headers=headers
            ).raise_for_status()
            headers["X-CSRFToken"] = browser.get("auth/session").json()["csrf_token"]
            made = browser.post("tokens", json={"name": "tests", "scopes": ["read", "write", "admin"]}, headers=headers)
            made.raise_for_status()
        self.token: str = made.json()["token"]
        self.http = httpx.Client(
            base_url=f"{url}/api/v1/", headers={"Authorization": f"Bearer {self.token}"}, timeout=30
        )

    def get(self, path: str, **params: Any) -> Json:
        """GET, asked again while the server is away."""
        for _ in range(600):
            try:
                answer = self.http.get(path, params=params)
            except httpx.TransportError:
                time.sleep(0.2)
                continue
            if answer.status_code in {502, 503, 504}:
                time.sleep(0.2)
                continue
            answer.raise_for_status()
            return answer.json()
        raise AssertionError(f"no answer from {path}")

    def post(self, path: str, body: Json = None, **headers: str) -> Json:
        """POST that must succeed."""
        answer = self.http.post(path, json=body or {}, headers=headers)
        assert answer.is_success, f"{answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def project(self) -> str:
        """The id of the only project of a new stack."""
        return str(self.get("projects")["results"][0]["id"])

    def upload(self, content: bytes) -> Json:
        """Send one file in parts; return its reference."""
        digest = hashlib.sha256(content).hexdigest()
        upload = self.post("uploads", {"project": self.project(), "sha256": digest, "size_bytes": len(content)})
        if not upload["complete"]:
            size = upload["part_size_bytes"]
            for number, start in enumerate(range(0, len(content), size)):
                part = content[start : start + size]
                self.http.put(f"uploads/{upload['upload_id']}/parts/{number}", content=part).raise_for_status()
            self.post(f"uploads/{upload['upload_id']}/finalise")
        return {"sha256": digest, "size_bytes": len(content)}

    def dataset(self, name: str, files: Mapping[str, bytes]) -> str:
        """Make a dataset and wait until it may be trained on; return its name."""
        dataset = self.post("datasets", {"project": self.project(), "name": name})
        entries = [{"path": path, **self.upload(content)} for path, content in files.items()]
        version = self.post(f"datasets/{dataset['id']}/versions", {"files": entries})
        done = eventually(lambda: self.get(f"dataset-versions/{version['id']}"), lambda row: row["state"] != "pending")
        assert done["state"] == "ready", done["error"]
        return name

    def submit(self, name: str, spec: Json, *, slots: int = 2, nodes: int = 1, **resources: Any) -> str:
        """Submit a job on ``nodes`` x ``slots``; return its id. ``resources`` are further fields of that name."""
        body = {
            "project": self.project(), "name": name, "spec": spec,
            "resources": {"pool": "default", "nodes": nodes, "slots_per_node": slots, **resources},
        }  # fmt: skip
        return str(self.post("jobs", body)["id"])

    def job(self, job_id: str) -> Json:
        """One job."""
        return self.get(f"jobs/{job_id}")

    def wait_for_step(self, job_id: str, step: int, *, timeout_s: float = 120) -> Json:
        """Wait until a job has finished a step."""
        return eventually(
            lambda: self.job(job_id),
            lambda job: (job["progress"]["step"] or 0) >= step or job["state"] in FINAL,
            timeout_s=timeout_s,
        )

    def wait_final(self, job_id: str, *, timeout_s: float = 240) -> Json:
        """Wait until a job is over."""
        return eventually(lambda: self.job(job_id), lambda job: job["state"] in FINAL, timeout_s=timeout_s)

    def curve(self, job_id: str, key: str = "loss") -> dict[int, float]:
        """The whole curve of a job, rank 0, as the chart would show it."""
        answer = self.get(f"jobs/{job_id}/metrics/points", key=key, rank=0, max_points=100_000)
        steps, values = answer["steps"], answer["values"]
        assert len(set(steps)) == len(steps), "a step is there twice"
        return dict(zip(steps, values, strict=True))

    def log(self, job_id: str, *, rank: int = 0, stream: str = "stdout") -> str:
        """All that a rank wrote in the newest attempt."""
        text, offset = "", 0
        while True:
            page = self.get(f"jobs/{job_id}/logs", rank=rank, stream=stream, offset=offset)
            text += str(page["text"])
            if page["stop"] <= offset:
                return text
            offset = page["stop"]

    def attempts(self, job_id: str) -> list[Json]:
        """All attempts, oldest first."""
        return sorted(self.get(f"jobs/{job_id}/attempts")["results"], key=lambda attempt: attempt["number"])

    def places(self, job_id: str) -> list[str]:
        """The nodes of the newest attempt, in the order of their ranks."""
        allocations = self.attempts(job_id)[-1]["allocations"]
        return [row["node"] for row in sorted(allocations, key=lambda row: row["node_rank"])]

    def pids(self, job_id: str, node: str | None = None) -> list[int]:
        """Process ids of the running attempt's ranks, all or those of one node."""
        last = self.attempts(job_id)[-1]
        return [pid for row in last["allocations"] if node in {None, row["node"]} for pid in row["pids"]]


def stdlib_files(num_files: int) -> dict[str, bytes]:
    """Some of the standard library's own source text: real data that every machine has."""
    folder = Path(hashlib.__file__).parent
    chosen = sorted(path for path in folder.glob("*.py") if path.stat().st_size > 10_000)[:num_files]
    return {path.name: path.read_bytes() for path in chosen}
