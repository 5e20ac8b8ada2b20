"""A student's loss is the papers' formula, it learns, and ranks, checkpoints and exports treat it like any model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from tests.runtime.ranks import Launcher, RankServer, Run, tiny_train_spec
from workers.contract.model_source import DistilledModel
from workers.contract.run import FailureEvent, ModelEvent
from workers.contract.training import AdamWSpec
from workers.runtime.checkpoint import published_checkpoints
from workers.runtime.parallel.distillation.losses import teacher_layers
from workers.runtime.parallel.distillation.teacher import Teacher

pytestmark = pytest.mark.gloo

_STUDENT = {"source": "config", "hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 32}


def _source(**changes: Any) -> dict[str, Any]:
    return {
        "source": "distilled", "teacher": "x", "student": _STUDENT, "temperature": 2.0, "soft_weight": 0.7,
        "hidden_weight": 0.5,
    } | changes  # fmt: skip


def _spec(**changes: Any) -> dict[str, Any]:
    source = _source(**changes.pop("source", {}))
    return tiny_train_spec(model=source, tokenizer={"source": "model"}, **changes)


def _decoder(width: int, layers: int) -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=64, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers,
        num_attention_heads=2, max_position_embeddings=32, initializer_range=0.2,
    )  # fmt: skip
    built = LlamaForCausalLM(config)
    built.eval()
    return built


def test_loss_of_one_batch_is_the_papers_formula() -> None:
    """Term by term, with sums written out: no function of the product's is used for what is expected."""
    torch.manual_seed(0)
    student, teacher = _decoder(8, 2), _decoder(16, 4)
    spec = DistilledModel.model_validate(_source(soft_weight=0.7, hidden_weight=0.5, temperature=3.0))
    learned = Teacher(spec, teacher, AdamWSpec(), seed=1)
    learned.make_projection(student.config.hidden_size, torch.device("cpu"))
    tokens = torch.randint(0, 64, (3, 9))
    loss = learned.loss(student, tokens[:, :-1], tokens[:, 1:])
    with torch.no_grad():
        ours = student(input_ids=tokens[:, :-1], output_hidden_states=True)
        theirs = teacher(input_ids=tokens[:, :-1], output_hidden_states=True)
    p = torch.softmax(theirs.logits / 3.0, -1)
    q = torch.softmax(ours.logits / 3.0, -1)
    soft = 9.0 * (p * (p / q).log()).sum(-1).mean()
    picked = torch.softmax(ours.logits, -1).gather(-1, tokens[:, 1:, None])
    hard = -picked.log().mean()
    projection = learned.shared_state()["projection"]
    pairs = [(1, 2), (2, 4)]  # the second of two blocks imitates the last of four
    hidden = sum(((ours.hidden_states[s] @ projection - theirs.hidden_states[t]) ** 2).mean() for s, t in pairs) / 2
    assert loss.item() == pytest.approx((0.7 * soft + 0.3 * hard + 0.5 * hidden).item(), rel=1e-5)
    loss.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad is not None for parameter in student.parameters())


def test_blocks_are_paired_evenly_and_the_last_with_the_last() -> None:
    assert teacher_layers(2, 4) == [2, 4]
    assert teacher_layers(3, 12) == [4, 8, 12]
    assert teacher_layers(4, 4) == [1, 2, 3, 4]
    assert teacher_layers(4, 2) == [1, 1, 2, 2]


@pytest.fixture(scope="module")
def teacher(trained: Run) -> str:
    """Return the directory of a model that was just trained: 2 blocks of width 32."""
    return str(trained.output_dir / "model")


@pytest.fixture(scope="module")
def alone(
    teacher: str, rank_server: RankServer, tmp_path_factory: pytest.TempPathFactory, corpus: Path, cache_dir: Path
) -> Run:
    """Return a finished distillation on one rank."""
    launcher = Launcher(rank_server, tmp_path_factory.mktemp("alone"), corpus, cache_dir)
    saving = {"every_steps": 3, "keep_last": 9, "keep_best": False}
    run = launcher.run(_spec(micro_batch_size=8, checkpoint=saving), model_dir=teacher)
    assert run.codes == [0], run.stderr()
    return run


def test_student_improves_and_leaves_alone(alone: Run) -> None:
    assert alone.series("loss")[8] < alone.series("loss")[1]
    assert alone.series("val_loss")[8] < alone.series("val_loss")[4]
    (event,) = [event for event in alone.events() if isinstance(event, ModelEvent)]
    model = AutoModelForCausalLM.from_pretrained(alone.output_dir / "model")
    assert (model.config.hidden_size, model.config.num_hidden_layers, model.config.vocab_size) == (16, 1, 384)
    assert event.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert not any("projection" in name for name in model.state_dict())


@pytest.mark.parametrize("data_parallel", [{"kind": "ddp"}, {"kind": "zero1"}, {"kind": "fsdp"}], ids=str)
def test_two_ranks_learn_as_one(alone: Run, teacher: str, launcher: Launcher, data_parallel: dict[str, Any]) -> None:
    run = launcher.run(_spec(distribution={"data_parallel": data_parallel}), 2, model_dir=teacher)
    assert run.codes == [0, 0], run.stderr(0) + run.stderr(1)
    for key in ("loss", "val_loss", "grad_norm"):
        assert run.series(key) == pytest.approx(alone.series(key), rel=2e-4), key


def test_resumed_student_goes_on_exactly_with_its_projection(alone: Run, teacher: str, launcher: Launcher) -> None:
    checkpoint = next(path for path in published_checkpoints(alone.output_dir) if path.name.endswith("3"))
    resumed = launcher.run(_spec(micro_batch_size=8), model_dir=teacher, resume_from=str(checkpoint))
    assert resumed.codes == [0], resumed.stderr()
    assert resumed.series("loss") == {step: loss for step, loss in alone.series("loss").items() if step > 3}


def test_student_of_the_teachers_layers_starts_from_them(teacher: str, launcher: Launcher) -> None:
    source = {"student": {"source": "teacher_layers", "layers": [1]}, "hidden_weight": 0.0, "soft_weight": 1.0}
    spec = _spec(source=source, steps=1, optimizer={"kind": "adamw", "learning_rate": 1e-12, "weight_decay": 0.0})
    run = launcher.run(spec, model_dir=teacher)
    assert run.codes == [0], run.stderr()
    student = AutoModelForCausalLM.from_pretrained(run.output_dir / "model")
    original = AutoModelForCausalLM.from_pretrained(teacher)
    assert student.config.num_hidden_layers == 1
    weight, wanted = (model.state_dict() for model in (student, original))
    name = "mlp.up_proj.weight"
    assert torch.allclose(weight[f"model.layers.0.{name}"], wanted[f"model.layers.1.{name}"], atol=1e-6)


def test_student_that_is_too_large_is_the_users(teacher: str, launcher: Launcher) -> None:
    run = launcher.run(_spec(source={"max_parameters": 100}), model_dir=teacher)
    failure = run.events()[-1]
    assert isinstance(failure, FailureEvent)
    assert failure.kind == "user"
    assert "more than max_parameters=100" in failure.message
