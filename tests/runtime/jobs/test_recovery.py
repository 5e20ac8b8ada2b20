"""Training on after structured pruning: the recipe of docs/user-guide.md, on real ranks."""

from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from tests.runtime.ranks import Launcher, Run, tiny_train_spec

pytestmark = pytest.mark.gloo

_SHAPE = ("num_hidden_layers", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim")


def _val_loss(launcher: Launcher, model_dir: str, **changes: Any) -> tuple[float, Run]:
    spec = tiny_train_spec(model={"source": "pretrained", "model": "x"}, tokenizer={"source": "model"}, **changes)
    run = launcher.run(spec, 2, model_dir=model_dir)
    assert run.codes == [0, 0], run.stderr()
    return run.series("val_loss")[spec["steps"]], run


def test_pruned_version_recovers_in_its_new_shape(trained: Run, launcher: Launcher) -> None:
    step = {"method": "structured", "mlp_ratio": 0.5, "kv_groups": 1, "blocks": 1}
    calibration = {"dataset": "corpus", "num_samples": 8, "length": 32}
    spec = {"kind": "compress", "model": "x", "recipe": [step], "calibration": calibration}
    pruned = launcher.run(spec, model_dir=str(trained.output_dir / "model"))
    assert pruned.codes == [0], pruned.stderr()
    source = str(pruned.output_dir / "model")
    optimizer = {"kind": "adamw", "learning_rate": 1e-12}
    before, _ = _val_loss(launcher, source, steps=1, optimizer=optimizer)  # moves nothing: scores the pruned model
    after, recovered = _val_loss(launcher, source, steps=20, distribution={"data_parallel": {"kind": "fsdp"}})
    assert after < before
    small, back = (
        AutoModelForCausalLM.from_pretrained(directory) for directory in (source, recovered.output_dir / "model")
    )
    assert [getattr(back.config, name) for name in _SHAPE] == [getattr(small.config, name) for name in _SHAPE] == [
        1, 32, 1, 1, 16
    ]  # fmt: skip
    assert {name: tensor.shape for name, tensor in back.state_dict().items()} == {
        name: tensor.shape for name, tensor in small.state_dict().items()
    }
