"""A web server on throw-away Postgres and Redis, with one running job: where ingest and charts are measured.

The database is durable (fsync on), as in the embedded stack. Everything is removed afterwards.
"""

import http.client
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from coxswain.stack.ports import LOOPBACK, choose_port
from coxswain.stack.postgres import PostgresServer
from coxswain.stack.redis import RedisServer

ROOT = Path(__file__).resolve().parents[1]
_START_TIMEOUT_S = 60.0

_SETUP = """
import django, orjson, sys
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.utils import timezone
from apps.accounts.models import ApiToken, User, Workspace
from apps.accounts.tokens import digest_of, new_secret
from apps.cluster.models import Node, NodeToken, Pool
from apps.jobs.models import Allocation, Attempt, Job, Stream
from apps.projects.models import Project
user = User.objects.create_superuser("bench")
workspace = Workspace.objects.create(name="bench")
project = Project.objects.create(workspace=workspace, name="bench")
node = Node.objects.create(
    name="bench", pool=Pool.objects.create(name="bench"), hostname="bench", address="127.0.0.1", boot_id="b",
    agent_version="1", contract_version=1, cpu_count=1, memory_bytes=1)
node_secret, api_secret = new_secret("coxn_"), new_secret()
NodeToken.objects.create(node=node, digest=digest_of(node_secret))
ApiToken.objects.create(user=user, name="bench", prefix="bench", digest=digest_of(api_secret), scopes=["admin"])
job = Job.objects.create(
    workspace=workspace, project=project, number=1, name="bench", kind="train", spec={}, pool="bench", state="running",
    fence=1, owner=user, queued_at=timezone.now())
Stream.objects.create(job=job)
attempt = Attempt.objects.create(job=job, number=1, fence=1, state="running")
allocation = Allocation.objects.create(attempt=attempt, node=node, node_rank=0, fence=1, state="running")
sys.stdout.buffer.write(orjson.dumps({
    "job": str(job.pk), "allocation": str(allocation.pk), "node_secret": node_secret, "api_secret": api_secret}))
"""


@dataclass(frozen=True)
class TelemetryLab:
    """The running server and the job to speak about."""

    port: int
    env: dict[str, str]
    job: str
    allocation: str
    node_secret: str
    api_secret: str
    web_pid: int

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection that is kept alive."""
        return http.client.HTTPConnection(LOOPBACK, self.port, timeout=60)

    def post_metrics(self, connection: http.client.HTTPConnection, body: bytes) -> None:
        """Send one batch and wait until it is stored."""
        headers = {"Authorization": f"Bearer {self.node_secret}", "Content-Type": "application/json"}
        connection.request("POST", f"/api/node/v1/allocations/{self.allocation}/metrics", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{answer.status}: {text.decode()}")

    def get(self, connection: http.client.HTTPConnection, path: str) -> bytes:
        """Read a part of the job."""
        connection.request(
            "GET", f"/api/v1/jobs/{self.job}/{path}", headers={"Authorization": f"Bearer {self.api_secret}"}
        )
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{answer.status}: {text.decode()}")
        return text

    def manage(self, code: str) -> bytes:
        """Run Python with Django set up, beside the server."""
        done = subprocess.run([sys.executable, "-c", code], env=self.env, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        return done.stdout


@contextmanager
def telemetry_lab() -> Iterator[TelemetryLab]:
    """Start everything; stop and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="cox-bench-") as folder:
        root = Path(folder)
        root.chmod(0o711)
        postgres = PostgresServer(root / "postgres", password=secrets.token_urlsafe(16))
        redis = RedisServer(root / "redis", password=secrets.token_urlsafe(16))
        with postgres, redis:
            port = choose_port()
            env = {
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "controlplane.settings.embedded",
                "DATABASE_URL": postgres.url,
                "DATABASE_DIRECT_URL": postgres.url,
                "REDIS_URL": redis.url(0),
                "COX_BROKER_URL": redis.url(1),
                "COX_STORAGE_URL": (root / "storage").as_uri(),
                "COX_DATA_DIR": folder,
                "COX_SECRET_KEY": secrets.token_urlsafe(50),
                "COX_ALLOWED_HOSTS": LOOPBACK,
                "COX_PUBLIC_URL": f"http://{LOOPBACK}:{port}",
                "COX_PORT": str(port),
            }
            made = subprocess.run([sys.executable, "-c", _SETUP], env=env, cwd=ROOT, stdout=subprocess.PIPE, check=True)
            facts = orjson.loads(made.stdout)
            with _web_server(env, port, root / "web.log") as pid:
                yield TelemetryLab(port=port, env=env, web_pid=pid, **facts)


@contextmanager
def _web_server(env: dict[str, str], port: int, log_path: Path) -> Iterator[int]:
    command = [
        sys.executable, "-m", "uvicorn", "controlplane.asgi:application", "--host", LOOPBACK, "--port", str(port),
        "--no-access-log", "--timeout-graceful-shutdown", "2",
    ]  # fmt: skip
    with log_path.open("wb") as log:
        server = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log)
        try:
            _wait_for_health(port, server, log_path)
            yield server.pid
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait_for_health(port: int, server: "subprocess.Popen[bytes]", log_path: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise RuntimeError(f"the web server did not start:\n{log_path.read_text()[-2000:]}")
