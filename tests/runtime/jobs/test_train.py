"""The ``train`` kind end to end, on real ranks."""

import math

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.runtime.ranks import Launcher, Run, tiny_train_spec
from workers.contract.run import (
    CheckpointEvent,
    FinishedEvent,
    MetricsEvent,
    ModelEvent,
    PhaseEvent,
    ProgressEvent,
)
from workers.runtime.files import find_damage

pytestmark = pytest.mark.gloo

_RANK0_KEYS = {
    "loss", "learning_rate", "grad_norm", "tokens_per_s", "step_time_s", "data_time_s", "forward_time_s",
    "backward_time_s", "comm_wait_s", "comm_bytes", "optimizer_time_s", "mfu_pct", "memory_gib", "tokens", "loss_local",
}  # fmt: skip


def test_loss_falls_and_every_step_is_reported(trained: Run) -> None:
    loss = trained.series("loss")
    assert sorted(loss) == list(range(1, 9))
    assert loss[8] < loss[1] - 0.1
    assert trained.series("tokens")[8] == 8 * 2 * 4 * 32


def test_rank_0_speaks_for_the_gang_and_others_report_what_differs(trained: Run) -> None:
    first = next(event for event in trained.events(0) if isinstance(event, MetricsEvent))
    other = next(event for event in trained.events(1) if isinstance(event, MetricsEvent))
    assert set(first.values) == _RANK0_KEYS
    assert set(other.values) == {
        "loss_local", "step_time_s", "data_time_s", "comm_wait_s", "comm_bytes", "memory_gib",
    }  # fmt: skip
    local = [trained.series("loss_local", rank) for rank in (0, 1)]
    for step, loss in trained.series("loss").items():
        assert loss == pytest.approx((local[0][step] + local[1][step]) / 2, rel=1e-6)
    speakers = (PhaseEvent, ProgressEvent, CheckpointEvent, ModelEvent)
    assert not any(isinstance(event, speakers) for event in trained.events(1))


def test_parts_of_a_step_add_up_to_less_than_the_step(trained: Run) -> None:
    parts = ("data_time_s", "forward_time_s", "backward_time_s", "optimizer_time_s")
    for step, total in trained.series("step_time_s").items():
        spent = sum(trained.series(part)[step] for part in parts)
        assert 0 < spent <= total
        assert 0 <= trained.series("comm_wait_s")[step] <= trained.series("backward_time_s")[step]


def test_events_are_numbered_without_a_gap_and_end_with_finished(trained: Run) -> None:
    for rank in (0, 1):
        events = trained.events(rank)
        assert [event.n for event in events] == list(range(len(events)))
        assert events[-1] == FinishedEvent(n=events[-1].n, time_us=events[-1].time_us, stopped=False, step=8)


def test_model_is_complete_and_transformers_loads_it(trained: Run) -> None:
    event = next(event for event in trained.events() if isinstance(event, ModelEvent))
    directory = trained.output_dir / event.directory
    assert find_damage(directory) is None
    model = AutoModelForCausalLM.from_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    assert sum(parameter.numel() for parameter in model.parameters()) == event.num_parameters
    text = "def main(argv):\n    return 0\n\u2603"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.eos_token_id == model.config.eos_token_id == 0
    assert len(tokenizer) == model.config.vocab_size
    assert model.config.use_cache
    assert set(event.metrics) == {"loss", "val_loss", "val_perplexity"}


def test_exported_weights_score_as_the_last_validation_did(trained: Run, launcher: Launcher) -> None:
    spec = tiny_train_spec(
        model={"source": "pretrained", "model": "x"},
        tokenizer={"source": "model"},
        steps=1,
        optimizer={"kind": "adamw", "learning_rate": 1e-12},
    )
    again = launcher.run(spec, model_dir=str(trained.output_dir / "model"))
    assert again.codes == [0], again.stderr()
    assert again.series("val_loss")[1] == pytest.approx(trained.series("val_loss")[8], rel=1e-5)
    assert (again.output_dir / "model" / "tokenizer.json").read_bytes() == (
        trained.output_dir / "model" / "tokenizer.json"
    ).read_bytes()


def test_same_spec_gives_the_same_losses_and_another_seed_others(trained: Run, launcher: Launcher) -> None:
    again = launcher.run(tiny_train_spec(), world_size=2)
    assert again.series("loss") == trained.series("loss")
    assert again.series("val_loss") == trained.series("val_loss")
    other = launcher.run(tiny_train_spec(seed=5), world_size=2)
    assert other.series("loss") != trained.series("loss")


@pytest.mark.parametrize(
    ("world_size", "micro_batch_size", "gradient_accumulation"), [(1, 8, 1), (2, 2, 2), (4, 2, 1), (1, 2, 4)]
)
def test_loss_does_not_depend_on_how_the_global_batch_is_split(
    trained: Run, launcher: Launcher, world_size: int, micro_batch_size: int, gradient_accumulation: int
) -> None:
    spec = tiny_train_spec(micro_batch_size=micro_batch_size, gradient_accumulation=gradient_accumulation)
    run = launcher.run(spec, world_size)
    assert run.codes == [0] * world_size, run.stderr()
    for key in ("loss", "grad_norm"):
        ours, theirs = run.series(key), trained.series(key)
        assert ours == {step: pytest.approx(value, rel=2e-4) for step, value in theirs.items()}
    assert run.series("val_loss") == {
        step: pytest.approx(value, rel=2e-4) for step, value in trained.series("val_loss").items()
    }


def test_first_loss_is_that_of_a_uniform_guess(trained: Run) -> None:
    assert trained.series("loss")[1] == pytest.approx(math.log(384), abs=0.05)


def test_second_job_on_the_same_data_prepares_nothing(trained: Run, launcher: Launcher) -> None:
    run = launcher.run(tiny_train_spec(steps=1))
    phases = {event.name for event in run.events() if isinstance(event, PhaseEvent)}
    assert phases == {"load", "train", "validate", "save"}


def test_bf16_activation_checkpointing_and_wsd_train_too(launcher: Launcher) -> None:
    spec = tiny_train_spec(
        precision="bf16", activation_checkpointing=True, schedule={"kind": "wsd", "warmup_steps": 2}, steps=6
    )
    run = launcher.run(spec, world_size=2)
    assert run.codes == [0, 0], run.stderr()
    assert run.series("loss")[6] < run.series("loss")[1]


def test_reports_come_every_n_steps_and_at_both_ends(launcher: Launcher) -> None:
    run = launcher.run(tiny_train_spec(report_every_steps=3))
    assert sorted(run.series("loss")) == [1, 3, 6, 8]


def test_without_held_out_documents_nothing_is_validated(launcher: Launcher) -> None:
    data = tiny_train_spec()["data"] | {"validation_pct": 0}
    run = launcher.run(tiny_train_spec(data=data, steps=2))
    assert run.codes == [0], run.stderr()
    assert run.series("val_loss") == {}


def test_stderr_of_a_good_run_is_empty(trained: Run) -> None:
    assert trained.stderr(0) == ""
    assert trained.stderr(1) == ""
