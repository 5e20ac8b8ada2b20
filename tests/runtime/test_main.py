"""``python -m workers.runtime`` and torchrun, with nothing else near."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.ranks import tiny_train_spec
from workers.contract.run import EVENT_ADAPTER, FinishedEvent, ResumedEvent
from workers.runtime.__main__ import load_run

TIMEOUT_S = 140


def _launch(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HOME": str(cwd), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S,
        check=False,
    )  # fmt: skip


def _write(path: Path, document: Any) -> str:
    path.write_text(json.dumps(document))
    return str(path)


def _local_spec(corpus: Path, **changes: Any) -> dict[str, Any]:
    spec = tiny_train_spec(**changes)
    return spec | {"data": spec["data"] | {"dataset": str(corpus)}}


@pytest.mark.gloo
def test_torchrun_trains_from_a_bare_spec_and_resumes_the_latest(corpus: Path, tmp_path: Path) -> None:
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "workers.runtime"]
    file = _write(tmp_path / "tiny.json", _local_spec(corpus, steps=6))
    done = _launch(*command, file, "--resume-from", "latest", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "step 6/6  loss" in done.stdout
    assert (tmp_path / "runs" / "tiny" / "model" / "model.safetensors").is_file()
    assert (tmp_path / ".cache" / "coxswain" / "streams").is_dir()

    _write(tmp_path / "tiny.json", _local_spec(corpus, steps=9))
    more = _launch(*command, file, "--resume-from", "latest", cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    lines = (tmp_path / "runs" / "tiny" / "events" / "rank0.jsonl").read_text().splitlines()
    events = [EVENT_ADAPTER.validate_json(line) for line in lines]
    assert [event.n for event in events] == list(range(len(events)))
    assert [event.step for event in events if isinstance(event, ResumedEvent)] == [6]
    assert [event.step for event in events if isinstance(event, FinishedEvent)] == [6, 9]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"kind": "train", "data": {"dataset": "x"}, "stepz": 3}, "train.stepz: Extra inputs are not permitted"),
        ({"kind": "train", "data": {"dataset": "x"}, "steps": 0}, "train.steps: "),
        ({"kind": "cook"}, "cook"),
        ([1, 2], "expected a JSON object"),
        ({"spec": {"kind": "train"}}, "output_dir: Field required"),
    ],
)
def test_wrong_spec_is_told_by_field_before_torch_is_imported(tmp_path: Path, document: Any, message: str) -> None:
    file = _write(tmp_path / "wrong.json", document)
    done = _launch("-X", "importtime", "-m", "workers.runtime", file, cwd=tmp_path)
    assert done.returncode == 64
    assert message in done.stderr
    assert "| torch" not in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_file_is_told(tmp_path: Path) -> None:
    done = _launch("-m", "workers.runtime", "nowhere.json", cwd=tmp_path)
    assert done.returncode == 64
    assert "nowhere.json" in done.stderr


def test_run_file_is_taken_as_it_is_and_options_override(tmp_path: Path) -> None:
    document = {"spec": tiny_train_spec(), "output_dir": "/out", "cache_dir": "/cache", "dataset_digest": "ab"}
    file = Path(_write(tmp_path / "run.json", document))
    assert load_run(file).output_dir == "/out"
    changed = load_run(file, tmp_path / "here", "/some/checkpoint")
    assert (changed.output_dir, changed.resume_from) == (str(tmp_path / "here"), "/some/checkpoint")
    assert (changed.cache_dir, changed.dataset_digest) == ("/cache", "ab")


def test_bare_generate_spec_names_a_local_model(tmp_path: Path) -> None:
    file = Path(_write(tmp_path / "say.json", {"kind": "generate", "model": "./model", "prompt": "x"}))
    run = load_run(file)
    assert run.model_dir == "./model"
    assert Path(run.output_dir).name == "say"
