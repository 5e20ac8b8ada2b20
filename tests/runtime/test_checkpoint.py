"""Checkpoints: complete or absent, and only those that are wanted."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from workers.contract.run import EVENT_ADAPTER, CheckpointEvent
from workers.contract.training import CheckpointSpec
from workers.runtime.checkpoint import (
    Checkpointer,
    Progress,
    Snapshot,
    latest_checkpoint,
    published_checkpoints,
    read_progress,
    restore,
    step_of,
)
from workers.runtime.errors import CheckpointError, UserError
from workers.runtime.events import EventWriter

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")  # it is: rank 0 writes alone


def _snapshot(step: int, best_step: int | None = None, value: float = 1.0) -> Snapshot:
    progress = Progress(step=step, position=step, tokens=step, best_step=best_step, world_size=1)
    return Snapshot(progress, {"model.w": torch.full((100,), value), "optimizer.w.step": torch.tensor(3.0)}, {})


def _save_all(directory: Path, spec: CheckpointSpec, snapshots: list[Snapshot]) -> list[CheckpointEvent]:
    with EventWriter(directory, 0) as events:
        checkpointer = Checkpointer(directory, spec, events)
        for snapshot in snapshots:
            checkpointer.save(snapshot)
        checkpointer.wait()
        checkpointer.close()
    lines = (directory / "events" / "rank0.jsonl").read_bytes().splitlines()
    parsed = [EVENT_ADAPTER.validate_json(line) for line in lines]
    return [event for event in parsed if isinstance(event, CheckpointEvent)]


def test_saved_tensors_come_back_bit_for_bit(tmp_path: Path) -> None:
    value = torch.randn(100, generator=torch.Generator().manual_seed(0))
    snapshot = Snapshot(_snapshot(7).progress, {"model.w": value, "rng.0.cpu": torch.get_rng_state()}, {"loss": 2.0})
    (event,) = _save_all(tmp_path, CheckpointSpec(), [snapshot])
    assert event.directory == "checkpoints/step-000000007"
    assert event.metrics == {"loss": 2.0}
    checkpoint = tmp_path / event.directory
    tensors = {"model.w": torch.zeros(100), "rng.0.cpu": torch.zeros_like(torch.get_rng_state())}
    restore(checkpoint, tensors)
    assert torch.equal(tensors["model.w"], value)
    assert read_progress(checkpoint, verify_hashes=True) == snapshot.progress


def test_save_takes_the_values_of_its_moment(tmp_path: Path) -> None:
    snapshot = _snapshot(1, value=5.0)
    with EventWriter(tmp_path, 0) as events:
        checkpointer = Checkpointer(tmp_path, CheckpointSpec(), events)
        checkpointer.save(snapshot)
        snapshot.tensors["model.w"].zero_()
        checkpointer.wait()
        checkpointer.close()
    tensors = {"model.w": torch.zeros(100)}
    restore(published_checkpoints(tmp_path)[0], tensors)
    assert tensors["model.w"].unique().tolist() == [5.0]


def test_last_n_and_the_best_are_kept(tmp_path: Path) -> None:
    snapshots = [_snapshot(step, best_step=min(step, 2)) for step in range(1, 7)]
    events = _save_all(tmp_path, CheckpointSpec(keep_last=2), snapshots)
    assert [step_of(path) for path in published_checkpoints(tmp_path)] == [2, 5, 6]
    assert [event.step for event in events if event.is_best] == [1, 2]


def test_without_keep_best_only_the_last_are_kept(tmp_path: Path) -> None:
    _save_all(tmp_path, CheckpointSpec(keep_last=1, keep_best=False), [_snapshot(step, 1) for step in (1, 2, 3)])
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000000003"]


def _cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 2)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("__0_0.distcp", _cut),
        ("__0_0.distcp", _flip),
        ("__0_0.distcp", Path.unlink),
        ("manifest.json", Path.unlink),
        ("manifest.json", _cut),
        ("progress.json", _flip),
    ],
)
def test_damaged_checkpoint_is_never_taken(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    _save_all(tmp_path, CheckpointSpec(), [_snapshot(1), _snapshot(2)])
    newest = published_checkpoints(tmp_path)[-1]
    damage(newest / name)
    latest = latest_checkpoint(tmp_path)
    assert latest is not None
    assert step_of(latest) == 1
    with pytest.raises(UserError, match="is not a complete checkpoint"):
        read_progress(newest, verify_hashes=True)


def test_unfinished_directories_are_not_checkpoints(tmp_path: Path) -> None:
    _save_all(tmp_path, CheckpointSpec(), [_snapshot(3)])
    (tmp_path / "checkpoints" / ".tmp-step-000000004-1").mkdir()
    (tmp_path / "checkpoints" / "step-000000005").mkdir()
    assert [step_of(path) for path in published_checkpoints(tmp_path)] == [3]


def test_step_saved_again_replaces_the_older_files(tmp_path: Path) -> None:
    _save_all(tmp_path, CheckpointSpec(), [_snapshot(3, value=1.0)])
    _save_all(tmp_path, CheckpointSpec(), [_snapshot(3, value=2.0)])
    tensors = {"model.w": torch.zeros(100)}
    restore(tmp_path / "checkpoints" / "step-000000003", tensors)
    assert tensors["model.w"][0] == 2.0
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


def test_failed_save_is_raised_later_and_leaves_the_one_before(tmp_path: Path) -> None:
    with EventWriter(tmp_path, 0) as events:
        checkpointer = Checkpointer(tmp_path, CheckpointSpec(), events)
        checkpointer.save(_snapshot(1))
        checkpointer.wait()
        (tmp_path / "checkpoints" / f".tmp-step-000000002-{os.getpid()}").write_text("in the way")
        checkpointer.save(_snapshot(2))
        with pytest.raises(
            CheckpointError, match="step 2 could not be written, the last complete one is step-000000001"
        ):
            checkpointer.wait()
        checkpointer.close()
    assert [step_of(path) for path in published_checkpoints(tmp_path)] == [1]


def test_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    _save_all(tmp_path, CheckpointSpec(), [_snapshot(1)])
    checkpoint = published_checkpoints(tmp_path)[0]
    with pytest.raises(UserError, match=r"model.w has shape \(50,\), the checkpoint has \(100,\)"):
        restore(checkpoint, {"model.w": torch.zeros(50)})
    with pytest.raises(UserError, match="the checkpoint has none"):
        restore(checkpoint, {"model.other": torch.zeros(50)})


_FILL_A_DISK = """
import sys
from pathlib import Path
from workers.runtime.environment import prepare_environment
prepare_environment()
import torch
from workers.runtime.checkpoint import Progress, Snapshot, _write_alone
from workers.runtime.errors import describe
tensors = {str(number): torch.ones(100_000) for number in range(30)}
try:
    progress = Progress(step=1, position=1, tokens=1, world_size=1)
    _write_alone(Path(sys.argv[1]) / "step", Snapshot(progress, tensors, {}))
except OSError as error:
    print(describe(error))
"""


def test_full_disk_is_called_by_its_name(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        assert "CI" not in os.environ, "run the tests as root: only root can mount a file system"
        pytest.skip("only root can mount a file system")
    mount = 'mount -t tmpfs -o size=2m none "$1"; exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", mount, "sh", str(tmp_path), sys.executable, _FILL_A_DISK],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("no space left on the disk: "), done.stderr
