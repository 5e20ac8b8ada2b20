"""A rank that does what its prompt says, for tests of what is around a rank.

The prompt of a ``generate`` spec is a JSON list of steps ``[name, argument...]``; a step ``["only", rank, step]`` is
for one rank. Events are written as the runtime writes them.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from workers.contract.generation import GenerateSpec
from workers.contract.manifest import FileRef, Manifest
from workers.contract.run import (
    CheckpointEvent,
    ControlFile,
    EventBase,
    FailureEvent,
    FailureKind,
    FinishedEvent,
    MetricsEvent,
    ModelEvent,
    OutputEvent,
    PhaseEvent,
    ProgressEvent,
    RunFile,
)


def preload() -> None:
    """Import nothing more: a fork server of this program is ready at once."""


def run(run_file: Path) -> int:
    """Do every step."""
    document = RunFile.model_validate_json(run_file.read_bytes())
    assert isinstance(document.spec, GenerateSpec)
    rank = TinyRank(document)
    for step in json.loads(document.spec.prompt):
        rank.do(step)
    return rank.code


class TinyRank:
    """One rank's event file and the steps it knows."""

    def __init__(self, run: RunFile) -> None:
        self.rank = int(os.environ["RANK"])
        self.output = Path(run.output_dir)
        self.run_file = run
        self.code = 0
        self._n = 0
        self._step = 0
        path = self.output / "events" / f"rank{self.rank}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)

    def do(self, step: list[object]) -> None:
        """Do one step."""
        name, *arguments = step
        getattr(self, f"do_{name}")(*arguments)

    def emit(self, event_type: type[EventBase], **fields: object) -> None:
        event = event_type.model_validate({"n": self._n, "time_us": time.time_ns() // 1000, **fields})
        self._file.write(event.model_dump_json().encode() + b"\n")
        self._n += 1

    def do_only(self, rank: int, step: list[object]) -> None:
        if rank == self.rank:
            self.do(step)

    def do_metrics(self, count: int, every_s: float) -> None:
        for _ in range(count):
            self._step += 1
            self.emit(MetricsEvent, step=self._step, values={"loss": 1.0 / self._step, "odd": "NaN"})
            if self.rank == 0:
                self.emit(ProgressEvent, step=self._step, total_steps=1000)
            time.sleep(every_s)

    def do_phase(self, name: str) -> None:
        self.emit(PhaseEvent, name=name)

    def do_print(self, text: str) -> None:
        sys.stdout.write(text + "\n")

    def do_repeat(self, count: int, text: str) -> None:
        for _ in range(count):
            self.do_print(text)

    def do_prune(self, step: int) -> None:
        shutil.rmtree(self.output / f"checkpoints/step-{step:09d}")

    def do_bytes(self, text: str) -> None:
        os.write(1, bytes.fromhex(text))

    def do_env(self) -> None:
        sys.stdout.write(json.dumps(dict(os.environ)) + "\n")

    def do_whoami(self) -> None:
        self.do_print(str(os.getuid()))

    def do_sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def do_stubborn(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def do_cat(self, role: str) -> None:
        directory = Path(str(getattr(self.run_file, role)))
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                sys.stdout.write(f"{path.relative_to(directory)} {path.read_text(encoding='utf-8')}\n")

    def do_wait_stop(self) -> None:
        control = self.output / "control.json"
        while not (control.exists() and ControlFile.model_validate_json(control.read_bytes()).stop):
            time.sleep(0.01)

    def _write_files(self, directory: Path, size: int) -> Manifest:
        data = bytes(index % 251 for index in range(size))
        directory.mkdir(parents=True)
        (directory / "data.bin").write_bytes(data)
        (directory / "empty").write_bytes(b"")
        digest, nothing = hashlib.sha256(data).hexdigest(), hashlib.sha256(b"").hexdigest()
        return Manifest(
            files=(
                FileRef(path="data.bin", size_bytes=size, sha256=digest),
                FileRef(path="empty", size_bytes=0, sha256=nothing),
            )
        )

    def do_checkpoint(self, step: int, size: int, part: int = 0, num_parts: int = 1) -> None:
        if self.rank == 0:
            directory = f"checkpoints/step-{step:09d}"
            manifest = self._write_files(self.output / directory, size)
            self.emit(
                CheckpointEvent, step=step, directory=directory, manifest=manifest, part=part, num_parts=num_parts
            )

    def do_model(self, size: int) -> None:
        if self.rank == 0:
            manifest = self._write_files(self.output / "model", size)
            self.emit(ModelEvent, directory="model", manifest=manifest, num_parameters=7)

    def do_output(self, size: int) -> None:
        if self.rank == 0:
            manifest = self._write_files(self.output / "export", size)
            self.emit(OutputEvent, directory="export", manifest=manifest)

    def do_finish(self, stopped: bool = False) -> None:
        self.emit(FinishedEvent, stopped=stopped, step=self._step)

    def do_fail(self, kind: str, message: str) -> None:
        self.emit(FailureEvent, kind=FailureKind(kind), message=message, traceback="Traceback ...")
        self.code = 3

    def do_exit(self, code: int) -> None:
        sys.exit(code)

    def do_kill(self, number: int) -> None:
        os.kill(os.getpid(), number)
        time.sleep(5)
