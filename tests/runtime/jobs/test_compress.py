"""The ``compress`` kind end to end, on a model that was just trained."""

import json
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from tests.runtime.ranks import Launcher, Run, tiny_train_spec
from workers.contract.run import (
    CompletionEvent,
    FailureEvent,
    FailureKind,
    FinishedEvent,
    MetricsEvent,
    ModelEvent,
    PhaseEvent,
    ProgressEvent,
    ResultEvent,
)
from workers.runtime.files import find_damage

pytestmark = pytest.mark.gloo

_CALIBRATION = {"dataset": "corpus", "num_samples": 8, "length": 32}


def _spec(*recipe: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"kind": "compress", "model": "x", "recipe": list(recipe), "calibration": _CALIBRATION} | fields


def _only(run: Run, kind: type) -> Any:
    (event,) = [event for event in run.events() if isinstance(event, kind)]
    return event


@pytest.fixture(scope="module")
def compressed(trained: Run, rank_server: Any, tmp_path_factory: Any, corpus: Any, cache_dir: Any) -> Run:
    """Return a finished run of a recipe of two steps with a scan."""
    launcher = Launcher(rank_server, tmp_path_factory.mktemp("compressed"), corpus, cache_dir)
    spec = _spec({"method": "sparsegpt"}, {"method": "gptq", "group_size": 16}, sensitivity_scan=True)
    run = launcher.run(spec, model_dir=str(trained.output_dir / "model"))
    assert run.codes == [0], run.stderr()
    return run


def test_every_layer_is_accounted_for(compressed: Run) -> None:
    result = _only(compressed, ResultEvent).result
    assert [report.method for report in result.layers] == ["sparsegpt"] * 14 + ["gptq"] * 14
    assert all(report.sparsity >= 0.5 for report in result.layers)  # quantization fills no zero in
    assert all(report.bytes_after < 0.25 * report.bytes_before for report in result.layers[14:])
    assert result.bytes_after < result.bytes_before
    assert result.peak_memory_bytes > 0
    costs = [entry.loss_increase for entry in result.sensitivity]
    assert len(costs) == 14
    assert costs == sorted(costs, reverse=True)


def test_model_is_published_whole_with_its_tokenizer(compressed: Run, trained: Run) -> None:
    event = _only(compressed, ModelEvent)
    directory = compressed.output_dir / event.directory
    assert find_damage(directory) is None
    original = trained.output_dir / "model"
    assert (directory / "tokenizer.json").read_bytes() == (original / "tokenizer.json").read_bytes()
    assert json.loads((directory / "config.json").read_text())["quantization_config"]["format"] == "pack-quantized"
    assert event.num_parameters == sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(original).parameters())
    size = (directory / "model.safetensors").stat().st_size
    assert event.metrics["bytes_after"] < size < (original / "model.safetensors").stat().st_size


def test_progress_is_live(compressed: Run) -> None:
    phases = {event.name for event in compressed.events() if isinstance(event, PhaseEvent)}
    assert {"sensitivity (1/3)", "sparsegpt (2/3)", "gptq (3/3)", "save"} <= phases
    assert [event.step for event in compressed.events() if isinstance(event, ProgressEvent)] == [0, 1, 2, 3]
    assert len(compressed.series("layer_error")) == 28
    assert isinstance(compressed.events()[-1], FinishedEvent)
    assert "model.layers.1.mlp.down_proj: error of outputs" in compressed.stdout()
    assert any(isinstance(event, MetricsEvent) for event in compressed.events())


def test_compressed_version_generates_and_trains_on(compressed: Run, launcher: Launcher) -> None:
    model_dir = str(compressed.output_dir / "model")
    spec = {"kind": "generate", "model": "x", "prompt": "def ", "max_new_tokens": 4, "temperature": 0}
    generated = launcher.run(spec, model_dir=model_dir)
    assert generated.codes == [0], generated.stderr()
    assert len(_only(generated, CompletionEvent).completions) == 1
    train = tiny_train_spec(model={"source": "pretrained", "model": "x"}, tokenizer={"source": "model"}, steps=2)
    tuned = launcher.run(train, model_dir=model_dir)
    assert tuned.codes == [0], tuned.stderr()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"calibration": _CALIBRATION | {"num_samples": 60_000}}, "are asked for: lower num_samples or length"),
        ({"recipe": [{"method": "rtn", "group_size": 24}]}, "group_size: 24 must divide"),
    ],
)
def test_what_cannot_work_is_the_users_and_publishes_nothing(
    trained: Run, launcher: Launcher, change: dict[str, Any], message: str
) -> None:
    run = launcher.run(_spec({"method": "rtn"}) | change, model_dir=str(trained.output_dir / "model"))
    failure = run.events()[-1]
    assert isinstance(failure, FailureEvent)
    assert failure.kind is FailureKind.USER
    assert message in failure.message
    assert not (run.output_dir / "model").exists()
