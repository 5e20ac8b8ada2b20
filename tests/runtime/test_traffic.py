"""Bytes on the wire: counted against the interface's own counters, and what each method saves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.ranks import Launcher, Run, tiny_train_spec

pytestmark = pytest.mark.gloo

_SCRIPT = """
ip link set lo up
"$0" -m tests.runtime.network_namespace 0 29555 "$1/0.json" &
"$0" -m tests.runtime.network_namespace 1 29555 "$1/1.json" && wait $!
"""
_OVERHEAD = 0.03  # headers of TCP and IP, and acknowledgements


@pytest.mark.skipif(os.geteuid() != 0 and "CI" not in os.environ, reason="only root makes a network namespace")
def test_counted_bytes_are_those_the_interface_has_carried(tmp_path: Path) -> None:
    subprocess.run(
        ["unshare", "--net", "bash", "-ec", _SCRIPT, sys.executable, str(tmp_path)],
        check=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    for name in ranks[0]:
        counted = sum(rank[name][0] for rank in ranks)
        carried = min(rank[name][1] for rank in ranks)
        assert counted > 1 << 20, name
        assert counted == pytest.approx(carried, rel=_OVERHEAD), name


_PARAMETERS = 2_164_416  # width 192, 4 layers, MLP 512, 2048 tokens, tied


def _spec(distribution: dict[str, Any], steps: int) -> dict[str, Any]:
    return tiny_train_spec(
        model={"source": "config"}, tokenizer={"source": "bpe", "vocab_size": 2048}, steps=steps, micro_batch_size=2,
        data={"dataset": "corpus", "context_length": 8, "validation_pct": 0}, validate_every_steps=1000,
        checkpoint={"every_steps": 1000}, distribution=distribution,
    )  # fmt: skip


def _sent(run: Run, first: int = 1) -> float:
    """Bytes a rank has sent in a step, on average from step ``first`` on."""
    assert set(run.codes) == {0}, run.stderr()
    sent = [value for step, value in run.series("comm_bytes").items() if step >= first]
    return sum(sent) / len(sent)


def test_methods_send_as_many_times_fewer_bytes_than_ddp_as_they_say(launcher: Launcher) -> None:
    ddp = _sent(launcher.run(_spec({}, 3), 2))
    assert ddp == _PARAMETERS * 4  # 2 (W - 1) / W = 1 for two ranks
    power = launcher.run(_spec({"communication": {"kind": "powersgd", "rank": 4, "start_step": 1}}, 4), 2)
    assert power.series("comm_bytes")[1] == ddp
    assert ddp / _sent(power, first=2) >= 20
    diloco = {"kind": "diloco", "inner_steps": 50}
    assert ddp / _sent(launcher.run(_spec({"communication": diloco}, 50), 2)) >= 45
    assert ddp / _sent(launcher.run(_spec({"communication": diloco | {"delta_dtype": "fp16"}}, 50), 2)) >= 90


@pytest.mark.parametrize(
    ("distribution", "least", "most"),
    [
        ({"communication": {"kind": "fp16"}}, 0.5, 0.5),
        ({"communication": {"kind": "topk", "ratio": 0.01}}, 0.0199, 0.0201),  # a value and a place for each entry
        ({"data_parallel": {"kind": "zero1"}}, 1.4, 1.6),  # the gradients, and each parameter from its owner
        ({"data_parallel": {"kind": "fsdp"}}, 1.7, 2.1),  # two all-gathers of half of it, gloo's whole reduce-scatter
        ({"mesh": {"tp": 2}}, 0.001, 0.1),  # activations
        ({"mesh": {"pp": 2}}, 0.001, 0.25),  # activations, and the tied embedding's gradient
    ],
    ids=["fp16", "topk", "zero1", "fsdp", "tp", "pp"],
)  # fmt: skip
def test_every_strategy_is_counted(launcher: Launcher, distribution: dict[str, Any], least: float, most: float) -> None:
    run = launcher.run(_spec(distribution, 2), 2)
    assert least <= _sent(run) / (_PARAMETERS * 4) <= most
