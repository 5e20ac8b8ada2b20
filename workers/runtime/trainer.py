"""The training loop: steps, reports, validation, checkpoints, and the end.

Every decision that all ranks must take alike (stop, fail on a bad gradient, save) rests on numbers that
are the same on all of them.
"""

import sys
import time

import torch

from workers.contract.training import TrainSpec
from workers.runtime.checkpoint import Checkpointer, Gang, Progress, Snapshot, Tensors, read_progress, restore
from workers.runtime.context import JobEnd, RankContext
from workers.runtime.data.preparation import PreparedData
from workers.runtime.data.sampler import Batch, Sampler
from workers.runtime.device import compute_dtype, make_checkpoint_group, make_deterministic
from workers.runtime.errors import UserError
from workers.runtime.events import ResumedEvent
from workers.runtime.generators import (
    gather_generator_states,
    generator_name,
    generator_states,
    set_generator_states,
)
from workers.runtime.metrics import StepReport, format_line
from workers.runtime.mfu import flops_per_token
from workers.runtime.model import count_parameters, make_model
from workers.runtime.parallel import parallelise
from workers.runtime.timing import StepTimer
from workers.runtime.traffic import Traffic
from workers.runtime.validation import Validator


class Trainer:
    """One rank's part in training one model."""

    def __init__(self, spec: TrainSpec, context: RankContext, data: PreparedData) -> None:
        self.spec = spec
        self.context = context
        self._device = context.device
        make_deterministic(context.device)
        dtype = compute_dtype(spec.precision, context.device)
        self._timer = StepTimer(self._device)
        self._traffic = Traffic()
        model = make_model(spec, model_dir=context.paths.model, tokenizer=data.tokenizer)
        self.config = model.config
        self.config.architectures = [type(model).__name__]
        self.num_parameters = count_parameters(model)
        flops = flops_per_token(model, spec.data.context_length)
        self._progress = Progress(step=0, position=0, tokens=0, world_size=context.env.world_size)
        self._execution = parallelise(
            spec, context, model, dtype=dtype, timer=self._timer, on_last_bucket=self._mark_last_bucket
        )
        self._mesh = self._execution.mesh
        # The weights are the same on all ranks, dropout is not on those that see different samples.
        torch.manual_seed(spec.seed + 1 + self._mesh.data_rank)
        self._sampler = Sampler(data.train, context_length=spec.data.context_length, seed=spec.seed)
        if self._sampler.num_samples == 0:
            raise UserError(
                f"data.context_length: the dataset has {data.train.num_tokens} training tokens, "
                f"too few for one sample of {spec.data.context_length}"
            )
        self._validator = Validator(spec, data.validation, context)
        gang = Gang(context.env, make_checkpoint_group()) if self._execution.is_sharded else None
        self._checkpointer = Checkpointer(context.paths.output, spec.checkpoint, context.events, gang=gang)
        if context.paths.resume_from is not None:
            self._resume()
        self._execution.begin(self._progress.step)
        self._report = StepReport(spec, context, flops_per_token=flops, data_size=self._mesh.data_size, dtype=dtype)
        self._saved_step = self._progress.step if context.paths.resume_from is not None else -1
        self.validation: dict[str, float] = {}
        self._validated_step = -1

    @property
    def step(self) -> int:
        """Steps done."""
        return self._progress.step

    def final_metrics(self) -> dict[str, float]:
        """Return the last reported loss and the last validation."""
        return {"loss": self._report.loss} | self.validation

    def full_weights(self) -> Tensors:
        """Return the whole model's weights on rank 0, on the CPU, and nothing elsewhere. A collective."""
        with self._execution.final_weights(self._progress.step):
            return self._execution.full_weights()

    def close(self) -> None:
        """Take leave of the other ranks, when all weights that anybody wanted have been read. A collective."""
        self._execution.synchroniser.close()

    def run(self) -> JobEnd:
        """Train to the end, or to the step the ranks were asked to stop after; the last state is saved.

        Raises:
            UserError: the loss or a gradient is not finite.
            CheckpointError: a checkpoint could not be written.
        """
        self.context.phase("train")
        self.context.pulse.excuse(self._progress.step)
        self._timer.restart()
        try:
            stopped = False
            while self._progress.step < self.spec.steps and not stopped:
                step = self._progress.step + 1
                stopped = self.context.stop.must_stop_before(step, barrier=self._barrier(step))
                if not stopped:
                    with self._traffic.counted():
                        self._train_step()
                    self._follow_up()
            self.context.pulse.excuse(self._progress.step)
            if self._saved_step != self._progress.step:
                if not stopped:
                    self._validate()
                self._save()
            self._checkpointer.wait()
        finally:
            self._checkpointer.close()
        return JobEnd(step=self._progress.step, stopped=stopped)

    def _barrier(self, step: int) -> int:
        """Return the first step from ``step`` on that no rank leaves behind alone: a meeting, or a save."""
        every = self.spec.checkpoint.every_steps
        return min(self._execution.synchroniser.next_meeting(step), -(-step // every) * every)

    def _train_step(self) -> None:
        spec, step = self.spec, self._progress.step + 1
        loss = self._execution.forward_backward(self._draw(index) for index in range(spec.gradient_accumulation))
        self._timer.begin()
        if self._execution.synchroniser.ends_a_round(step):
            self.context.pulse.excuse(step)  # the wait may be as long as the round, and nobody is stuck
        grad_norm = self._execution.update(step, loss)
        self._timer.end("optimizer_time_s")
        self._timer.end_step()
        samples = spec.micro_batch_size * spec.gradient_accumulation * self._mesh.data_size
        self._progress = self._progress.model_copy(
            update={
                "step": step,
                "position": self._progress.position + samples,
                "tokens": self._progress.tokens + samples * spec.data.context_length,
            }
        )
        self._report.add(step, loss, grad_norm)

    def _mark_last_bucket(self) -> None:
        """This rank has done its part of the step; what follows is waiting for the others."""
        self._timer.mark_last_bucket()
        self.context.pulse.beat(self._progress.step + 1)

    def _draw(self, accumulated: int) -> Batch:
        """Return this rank's share of the global batch for one pass."""
        self.context.pulse.beat(self._progress.step + 1)
        began = time.perf_counter()
        size = self.spec.micro_batch_size
        offset = (accumulated * self._mesh.data_size + self._mesh.data_rank) * size
        batch = self._sampler.draw(self._progress.position + offset, size)
        moved = Batch(batch.inputs_BC.to(self._device), batch.targets_BC.to(self._device))
        self._timer.add_data(time.perf_counter() - began)
        return moved

    def _follow_up(self) -> None:
        """Do what is due after a step: check, report, validate, save."""
        spec, step = self.spec, self._progress.step
        synchroniser = self._execution.synchroniser
        meets = self._report.owes_loss and synchroniser.next_meeting(step) == step
        reports = step % spec.report_every_steps == 0 or step in {1, spec.steps} or meets
        saves = step % spec.checkpoint.every_steps == 0
        validates = step % spec.validate_every_steps == 0 or (saves and spec.checkpoint.keep_best)
        if reports or saves or validates or self._device.type == "cpu":
            self._check_finite()
        if reports:
            self._report.emit(self._progress, synchroniser, self._timer, self._traffic)
        self._checkpointer.poll()
        began = time.perf_counter()
        if validates or saves:
            self.context.pulse.excuse(step)
        if validates:
            self._validate()
        if saves:
            self._save()
        self._timer.exclude(time.perf_counter() - began)

    def _check_finite(self) -> None:
        bad_step = self._report.first_bad_step()
        if bad_step is None:
            return
        last_good = self._checkpointer.last_good()
        kept = f"the last good checkpoint is {last_good.name}" if last_good else "there is no checkpoint before it"
        raise UserError(
            f"the loss or its gradient is not finite at step {bad_step}; {kept}. "
            "Lower optimizer.learning_rate, or clip gradients (optimizer.max_grad_norm)"
        )

    def _validate(self) -> None:
        step = self._progress.step
        if not self._validator.is_possible or self._validated_step == step:
            return
        self.context.phase("validate")
        with self._execution.final_weights(step):
            self.validation = self._validator.score(self._execution)
        self._validated_step = step
        if self.context.is_main:
            self.context.events.metrics(step, self.validation)
            sys.stdout.write(format_line(step, self.spec.steps, self.validation))
            sys.stdout.flush()
        self.context.phase("train")

    def _save(self) -> None:
        step = self._progress.step
        fresh = self.validation if self._validated_step == step else {}
        best = self._progress.best_val_loss
        if fresh and (best is None or fresh["val_loss"] < best):
            self._progress = self._progress.model_copy(update={"best_val_loss": fresh["val_loss"], "best_step": step})
        self._saved_step = step
        tensors = self._state_to_save()
        if tensors:
            self._checkpointer.save(Snapshot(self._progress, tensors, {"loss": self._report.loss} | fresh))

    def _state_to_save(self) -> Tensors:
        """Return this rank's share of a checkpoint; nothing where rank 0 writes for all."""
        env = self.context.env
        self._execution.synchroniser.meet(self._progress.step)
        if self._execution.is_sharded:
            states = generator_states(self._device)
            generators = {generator_name(env.rank, kind): state for kind, state in states.items()}
        else:
            generators = gather_generator_states(self._device, rank=env.rank, world_size=env.world_size)
            if not self.context.is_main:
                return {}
        return self._execution.state_to_save(env.rank) | generators

    def _resume(self) -> None:
        """Take up weights, optimizer, generators and position of a checkpoint, whatever strategy has written it."""
        checkpoint = self.context.paths.resume_from
        assert checkpoint is not None
        progress = read_progress(checkpoint, verify_hashes=self.context.env.local_rank == 0)
        rank = self.context.env.rank
        tensors = self._execution.training_state(for_saving=False)
        generators = generator_states(self._device)
        if rank < progress.world_size:  # a rank that was not there before keeps the generator its seed gave it
            tensors |= {generator_name(rank, kind): state for kind, state in generators.items()}
        restore(checkpoint, tensors)
        set_generator_states(generators, self._device)
        self._execution.adopt_weights()
        restore(checkpoint, self._execution.shared_state())
        if progress.world_size == self.context.env.world_size:
            restore(checkpoint, self._execution.rank_state(rank))
        self._progress = progress.model_copy(update={"world_size": self.context.env.world_size})
        if self.context.is_main:
            self.context.events.emit(ResumedEvent, step=progress.step)
