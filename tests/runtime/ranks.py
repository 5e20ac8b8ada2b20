"""Real ranks for tests: forked from one warm server, as the agent does it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from workers.contract.forkserver import (
    REPLY_ADAPTER,
    ExitedReply,
    ForkedReply,
    ForkFailedReply,
    ForkRequest,
    ReadyReply,
)
from workers.contract.jobs import JOB_SPEC_ADAPTER
from workers.contract.run import EVENT_ADAPTER, Event, MetricsEvent, RunFile
from workers.runtime.checkpoint import published_checkpoints

TIMEOUT_S = 120.0


def tiny_train_spec(**changes: Any) -> dict[str, Any]:
    """A spec whose steps take milliseconds; ``changes`` replace top-level fields."""
    spec = {
        "kind": "train",
        "model": {"source": "config", "hidden_size": 32, "num_layers": 2, "num_heads": 2, "intermediate_size": 64},
        "tokenizer": {"source": "bpe", "vocab_size": 384},
        "data": {"dataset": "corpus", "context_length": 32, "validation_pct": 5, "validation_max_samples": 16},
        "steps": 8,
        "micro_batch_size": 4,
        "schedule": {"kind": "cosine", "warmup_steps": 4},
        "precision": "fp32",
        "checkpoint": {"every_steps": 4},
        "validate_every_steps": 4,
    }
    return spec | changes


@dataclass
class Run:
    """Ranks of one job, started."""

    output_dir: Path
    pids: list[int]
    server: "RankServer"
    codes: list[int] = field(default_factory=list)

    def wait(self, timeout_s: float = TIMEOUT_S) -> "Run":
        """Wait until all ranks have ended."""
        self.codes = [self.server.wait_exit(pid, timeout_s) for pid in self.pids]
        return self

    def events(self, rank: int = 0) -> list[Event]:
        """Whole lines of a rank's event file."""
        path = self.output_dir / "events" / f"rank{rank}.jsonl"
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")[:-1]
        return [EVENT_ADAPTER.validate_json(line) for line in lines]

    def series(self, key: str, rank: int = 0) -> dict[int, float]:
        """Values of a metric by step; the last one where a step was reported twice."""
        metrics = [event for event in self.events(rank) if isinstance(event, MetricsEvent)]
        return {event.step: float(event.values[key]) for event in metrics if key in event.values}

    def await_step(self, step: int, rank: int = 0) -> None:
        """Wait until the rank has reported ``step``."""
        deadline = time.monotonic() + TIMEOUT_S
        while not any(reported >= step for reported in self.series("step_time_s", rank)):
            assert time.monotonic() < deadline, self.stderr(rank)
            time.sleep(0.005)

    def await_checkpoint(self) -> None:
        """Wait until a first checkpoint is published."""
        deadline = time.monotonic() + TIMEOUT_S
        while not published_checkpoints(self.output_dir):
            assert time.monotonic() < deadline, self.stderr()
            time.sleep(0.005)

    def kill(self, rank: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one rank."""
        os.kill(self.pids[rank], number)

    def stdout(self, rank: int = 0) -> str:
        """What the rank has printed."""
        return (self.output_dir / f"stdout-{rank}.txt").read_text()

    def stderr(self, rank: int = 0) -> str:
        """What the rank has complained about."""
        return (self.output_dir / f"stderr-{rank}.txt").read_text()


class RankServer:
    """Speaks the agent's side of the fork server's protocol."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "workers.runtime.forkserver"]
        # The server finds its socket as descriptor 3, which pass_fds alone would not give it.
        script = f'exec 3<&{theirs.fileno()}; exec "$@"'
        self._process = subprocess.Popen(["bash", "-c", script, "bash", *command], pass_fds=[theirs.fileno()])
        theirs.close()
        self._socket = ours
        self._socket.settimeout(TIMEOUT_S)
        self._lines = ours.makefile("rb")
        self._exits: dict[int, int] = {}
        assert isinstance(self._receive(), ReadyReply)

    def start(self, run: RunFile, world_size: int, env: dict[str, str] | None = None) -> Run:
        """Fork all ranks of a job; they run at once."""
        output_dir = Path(run.output_dir)
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / "run.json").write_text(run.model_dump_json())
        port = str(_free_port())
        pids = []
        for rank in range(world_size):
            variables = {
                "PATH": os.environ["PATH"],
                "HOME": str(output_dir),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(world_size),
                "LOCAL_WORLD_SIZE": str(world_size),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "OMP_NUM_THREADS": "1",
            }
            pids.append(self._fork(output_dir, rank, variables | (env or {})))
        return Run(output_dir, pids, self)

    def wait_exit(self, pid: int, timeout_s: float) -> int:
        """Return the exit code of a forked rank."""
        deadline = time.monotonic() + timeout_s
        while pid not in self._exits:
            assert time.monotonic() < deadline, f"rank {pid} still runs after {timeout_s} s"
            self._receive()
        return self._exits[pid]

    def close(self) -> None:
        """End the server, and with it whatever it forked."""
        self._lines.close()
        self._socket.close()
        self._process.wait(TIMEOUT_S)

    def _fork(self, output_dir: Path, rank: int, env: dict[str, str]) -> int:
        request = ForkRequest(
            request_id=uuid4().hex,
            run_file=str(output_dir / "run.json"),
            env=env,
            cwd=str(output_dir),
            stdout_path=str(output_dir / f"stdout-{rank}.txt"),
            stderr_path=str(output_dir / f"stderr-{rank}.txt"),
        )
        self._socket.sendall(request.model_dump_json().encode() + b"\n")
        while True:
            reply = self._receive()
            assert not isinstance(reply, ForkFailedReply), reply
            if isinstance(reply, ForkedReply):
                return reply.pid

    def _receive(self) -> ReadyReply | ForkedReply | ForkFailedReply | ExitedReply:
        reply = REPLY_ADAPTER.validate_json(self._lines.readline())
        if isinstance(reply, ExitedReply):
            self._exits[reply.pid] = reply.code
        return reply


@dataclass(frozen=True)
class Launcher:
    """Starts jobs in directories of their own."""

    server: RankServer
    root: Path
    corpus: Path
    cache_dir: Path

    def start(self, spec: dict[str, Any], world_size: int = 1, **fields: Any) -> Run:
        """Start the ranks of a spec; ``fields`` replace those of the run file, and ``env`` adds variables."""
        env = fields.pop("env", None)
        run = RunFile.model_validate(
            {
                "spec": JOB_SPEC_ADAPTER.validate_json(json.dumps(spec)),
                "output_dir": str(self.root / uuid4().hex[:8]),
                "cache_dir": str(self.cache_dir),
                "dataset_dir": str(self.corpus),
            }
            | fields
        )
        return self.server.start(run, world_size, env)

    def run(self, spec: dict[str, Any], world_size: int = 1, **fields: Any) -> Run:
        """Start, and wait for the end."""
        return self.start(spec, world_size, **fields).wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
