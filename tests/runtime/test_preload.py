"""What the fork server imports: everything a rank needs, no thread, no CUDA."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.ranks import tiny_train_spec

_NO_CUDA = """
import os, sys
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # torch is imported before preload() can set it
import torch

def refusal(name):
    def refuse(*arguments, **options):  # a new function each time: torch tells them apart by identity
        raise AssertionError(f"{name} was asked while importing")
    return refuse

for name in ("init", "_lazy_init", "is_available", "device_count", "current_device", "get_device_name",
             "get_device_properties", "is_bf16_supported", "get_device_capability", "set_device", "synchronize"):
    setattr(torch.cuda, name, refusal(name))
torch.accelerator.is_available = refusal("accelerator")
from workers.runtime.preload import preload
preload()
print(len(os.listdir("/proc/self/task")), "OMP_NUM_THREADS" in os.environ, torch.get_num_threads())
"""

_LAZY = """
import os, sys
from pathlib import Path
from workers.runtime.preload import preload
preload()
before = set(sys.modules)
from workers.runtime.rank import run_rank
pid = os.fork()
if pid == 0:
    code = run_rank(Path(sys.argv[1]))
    print("LAZY", sorted(set(sys.modules) - before))
    sys.stdout.flush()
    os._exit(code)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def _run(script: str, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_preload_leaves_one_thread_and_the_environment_and_touches_no_cuda() -> None:
    assert _run(_NO_CUDA).split() == ["1", "False", "1"]


@pytest.mark.gloo
def test_forked_rank_imports_nothing_more(corpus: Path, cache_dir: Path, tmp_path: Path) -> None:
    run = {
        "spec": tiny_train_spec(steps=2),
        "output_dir": str(tmp_path),
        "cache_dir": str(cache_dir),
        "dataset_dir": str(corpus),
    }
    (tmp_path / "run.json").write_text(json.dumps(run))
    output = _run(_LAZY, str(tmp_path / "run.json"))
    assert output.splitlines()[-1] == "LAZY []"
