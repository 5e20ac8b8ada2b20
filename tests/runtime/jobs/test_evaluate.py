"""The ``evaluate`` kind end to end: a model that was just trained, compressed, and measured against itself."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from tests.runtime.ranks import Launcher, Run
from workers.contract.evaluation.metrics import METRICS
from workers.contract.evaluation.result import EvaluationResult
from workers.contract.run import FailureEvent, FailureKind, PhaseEvent, ProgressEvent, ResultEvent
from workers.runtime.data.sampler import Sampler
from workers.runtime.data.shards import TokenStream
from workers.runtime.model import load_pretrained

pytestmark = pytest.mark.gloo

LENGTH, SAMPLES = 24, 20
TIMING = {"prompt_tokens": 12, "new_tokens": 6, "warmup": 1, "repeats": 3}


def _spec(**fields: Any) -> dict[str, Any]:
    sampling = {"num_samples": SAMPLES, "length": LENGTH, "batch_size": 8}
    return {"kind": "evaluate", "model": "x", "dataset": "corpus", "generation": TIMING} | sampling | fields


def _result(run: Run) -> EvaluationResult:
    assert run.codes == [0], run.stderr()
    (event,) = [event for event in run.events() if isinstance(event, ResultEvent)]
    assert isinstance(event.result, EvaluationResult)
    return event.result


def _values(run: Run) -> dict[str, float]:
    return {found.metric: found.value for found in _result(run).measurements}


@pytest.fixture(scope="module")
def original(trained: Run) -> Path:
    """Return the directory of the trained model."""
    return trained.output_dir / "model"


@pytest.fixture(scope="module")
def shared(rank_server: Any, tmp_path_factory: Any, corpus: Path, cache_dir: Path) -> Launcher:
    """Return a launcher for the runs of this module."""
    return Launcher(rank_server, tmp_path_factory.mktemp("evaluated"), corpus, cache_dir)


@pytest.fixture(scope="module")
def quantized(shared: Launcher, original: Path) -> Path:
    """Return the model with most weights gone and the rest in 4 bits: it predicts other tokens in places."""
    pruning = {"method": "magnitude", "pattern": {"kind": "unstructured", "sparsity": 0.9}}
    recipe = [pruning, {"method": "rtn", "bits": 4, "group_size": 16}]
    run = shared.run({"kind": "compress", "model": "x", "recipe": recipe}, model_dir=str(original))
    assert run.codes == [0], run.stderr()
    return run.output_dir / "model"


@pytest.fixture(scope="module")
def evaluated(shared: Launcher, original: Path, quantized: Path) -> Run:
    """Return the evaluation of the quantized model against the original."""
    return shared.run(_spec(), model_dir=str(quantized), reference_dir=str(original))


def _windows(original: Path, corpus: Path, cache_dir: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the inputs and targets that an evaluation draws, from the node's cache by its documented order."""
    streams = [path.parent for path in cache_dir.glob("streams/*/train/stream.json")]
    stream = max((TokenStream.open(path) for path in streams), key=lambda stream: stream.num_tokens)
    batch = Sampler(stream, context_length=LENGTH, seed=1234).draw(0, SAMPLES)
    return batch.inputs_BC, batch.targets_BC


def test_quality_is_what_the_definitions_give(
    evaluated: Run, original: Path, quantized: Path, corpus: Path, cache_dir: Path
) -> None:
    inputs_BC, targets_BC = _windows(original, corpus, cache_dir)
    with torch.inference_mode():
        reference: torch.nn.Module = AutoModelForCausalLM.from_pretrained(original, dtype=torch.float32).eval()
        dense: torch.nn.Module = load_pretrained(quantized).eval()  # the integers as the real numbers they stand for
        ours, theirs = dense(input_ids=inputs_BC).logits, reference(input_ids=inputs_BC).logits
    loss = torch.nn.functional.cross_entropy(ours.flatten(0, 1), targets_BC.flatten())
    p, q = torch.distributions.Categorical(logits=ours), torch.distributions.Categorical(logits=theirs)
    values = _values(evaluated)
    assert values["perplexity"] == pytest.approx(math.exp(loss), rel=1e-4)
    assert values["kl_divergence"] == pytest.approx(float(torch.distributions.kl_divergence(q, p).mean()), rel=1e-2)
    agreement = (ours.argmax(-1) == theirs.argmax(-1)).double().mean()
    assert values["top1_agreement"] == pytest.approx(float(agreement), abs=2 / inputs_BC.numel())
    assert values["kl_divergence"] > 0
    assert values["top1_agreement"] < 1


def test_every_figure_of_a_language_model_is_there_with_its_spread_and_hardware(
    evaluated: Run, quantized: Path
) -> None:
    result = _result(evaluated)
    found = {measurement.metric: measurement for measurement in result.measurements}
    assert set(found) == set(METRICS) - {"embedding_cosine"}
    assert all(measurement.unit == METRICS[metric].unit for metric, measurement in found.items())
    speeds = [measurement for metric, measurement in found.items() if METRICS[metric].depends_on_hardware]
    assert all(measurement.value > 0 for measurement in speeds)
    repeated = [measurement for measurement in speeds if measurement.metric != "peak_memory_bytes"]
    assert all(each.num_values == TIMING["repeats"] and each.spread is not None for each in repeated)
    assert (found["perplexity"].num_values, found["perplexity"].dtype) == (SAMPLES, "fp32")
    on_disk = sum(
        path.stat().st_size for path in quantized.rglob("*") if path.is_file() and path.name != "manifest.json"
    )
    assert found["size_on_disk_bytes"].value == on_disk
    assert result.hardware.threads == 1
    assert result.hardware.name


def test_progress_is_live(evaluated: Run) -> None:
    phases = [event.name for event in evaluated.events() if isinstance(event, PhaseEvent)]
    assert list(dict.fromkeys(phases))[-4:] == ["load", "generate", "load reference", "score"]
    steps = [event.step for event in evaluated.events() if isinstance(event, ProgressEvent)]
    assert (steps[0], steps[-1]) == (0, 4)
    assert steps == sorted(steps)
    curve = evaluated.series("perplexity")
    assert curve[max(curve)] == pytest.approx(_values(evaluated)["perplexity"])
    assert "top1_agreement: " in evaluated.stdout()


def test_model_agrees_with_itself_and_is_smaller_in_4_bits(shared: Launcher, original: Path, evaluated: Run) -> None:
    spec = _spec(measure=["agreement", "size"])
    run = shared.run(spec, model_dir=str(original), reference_dir=str(original))
    values = _values(run)
    assert set(values) == {"top1_agreement", "kl_divergence", "size_on_disk_bytes", "size_in_memory_bytes"}
    assert values["top1_agreement"] == 1
    assert values["kl_divergence"] == pytest.approx(0, abs=1e-6)
    smaller = _values(evaluated)
    for metric in ("size_on_disk_bytes", "size_in_memory_bytes"):
        assert smaller[metric] < values[metric]


def test_same_seed_gives_the_same_figures_and_held_out_text_others(shared: Launcher, original: Path) -> None:
    spec = _spec(measure=["perplexity"])
    first, again, held_out = (
        _values(shared.run(spec | change, model_dir=str(original))) for change in ({}, {}, {"validation_pct": 5})
    )
    assert first == again
    assert held_out != first


def test_what_cannot_work_is_the_users_and_reports_nothing(shared: Launcher, original: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(original, other)
    tokenizer = Tokenizer.from_file(str(other / "tokenizer.json"))
    tokenizer.add_tokens(["extra"])
    tokenizer.save(str(other / "tokenizer.json"))
    config = json.loads((original / "config.json").read_text())
    assert config["max_position_embeddings"] == 32
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({"length": 64}, {}, "length: 64 exceeds the model's 32 positions"),
        ({"measure": ["agreement"]}, {}, "reference: agreement compares with another version"),
        ({}, {"reference_dir": str(other)}, "reference: it reads texts with another tokenizer"),
        ({}, {"model_dir": str(tmp_path)}, "is not a model directory"),
    ]
    for change, fields, message in cases:
        run = shared.run(_spec(**change), **({"model_dir": str(original)} | fields))
        failure = run.events()[-1]
        assert isinstance(failure, FailureEvent)
        assert failure.kind is FailureKind.USER
        assert message in failure.message
        assert not [event for event in run.events() if isinstance(event, ResultEvent)]
