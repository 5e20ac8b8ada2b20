"""The training loop: steps, reports, validation, checkpoints, and the end.

Every decision that all ranks must take alike (stop, fail on a bad gradient, save) rests on numbers that
are the same on all of them.
"""

import sys
import time
from contextlib import nullcontext

import torch

from workers.contract.training import TrainSpec
from workers.runtime.checkpoint import Checkpointer, Progress, Snapshot, read_progress, restore
from workers.runtime.context import JobEnd, RankContext
from workers.runtime.data.preparation import PreparedData
from workers.runtime.data.sampler import Batch, Sampler
from workers.runtime.device import compute_dtype, make_deterministic
from workers.runtime.errors import UserError
from workers.runtime.events import ResumedEvent
from workers.runtime.metrics import StepReport, format_line
from workers.runtime.model import make_model, token_loss
from workers.runtime.optimizer import clip_gradients, make_optimizer, set_learning_rate
from workers.runtime.parallel import replicate
from workers.runtime.schedule import learning_rate
from workers.runtime.state import (
    gather_generator_states,
    generator_name,
    generator_states,
    set_generator_states,
    training_tensors,
)
from workers.runtime.timing import StepTimer
from workers.runtime.validation import Validator


class Trainer:
    """One rank's part in training one model."""

    def __init__(self, spec: TrainSpec, context: RankContext, data: PreparedData) -> None:
        self.spec = spec
        self.context = context
        self._device = context.device
        make_deterministic(context.device)
        self._dtype = compute_dtype(spec.precision, context.device)
        self.model = make_model(spec, model_dir=context.paths.model, tokenizer=data.tokenizer, device=context.device)
        torch.manual_seed(spec.seed + 1 + context.env.rank)  # the weights are the same on all ranks, dropout is not
        self._optimizer = make_optimizer(self.model, spec.optimizer)
        self._sampler = Sampler(data.train, context_length=spec.data.context_length, seed=spec.seed)
        if self._sampler.num_samples == 0:
            raise UserError(
                f"data.context_length: the dataset has {data.train.num_tokens} training tokens, "
                f"too few for one sample of {spec.data.context_length}"
            )
        self._validator = Validator(spec, data.validation, context, self._dtype)
        self._checkpointer = Checkpointer(context.paths.output, spec.checkpoint, context.events)
        self._progress = Progress(step=0, position=0, tokens=0, world_size=context.env.world_size)
        if context.paths.resume_from is not None:
            self._resume()
        self._timer = StepTimer(self._device)
        self._replicas = replicate(
            self.model,
            device=self._device,
            world_size=context.env.world_size,
            on_last_bucket=self._mark_last_bucket,
        )
        self._report = StepReport(spec, context, self.model, self._dtype)
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
                stopped = self.context.stop.must_stop_before(self._progress.step + 1)
                if not stopped:
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

    def _train_step(self) -> None:
        spec, step = self.spec, self._progress.step + 1
        set_learning_rate(self._optimizer, learning_rate(spec, step))
        loss = torch.zeros((), device=self._device)
        for accumulated in range(spec.gradient_accumulation):
            batch = self._draw(accumulated)
            is_last = accumulated == spec.gradient_accumulation - 1
            with nullcontext() if is_last else self._replicas.without_sync():
                loss += self._pass(batch)
        self._timer.begin()
        grad_norm = clip_gradients(self.model, spec.optimizer.max_grad_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._timer.end("optimizer_time_s")
        self._timer.end_step()
        world_size = self.context.env.world_size
        samples = spec.micro_batch_size * spec.gradient_accumulation * world_size
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
        offset = (accumulated * self.context.env.world_size + self.context.env.rank) * size
        batch = self._sampler.draw(self._progress.position + offset, size)
        moved = Batch(batch.inputs_BC.to(self._device), batch.targets_BC.to(self._device))
        self._timer.add_data(time.perf_counter() - began)
        return moved

    def _pass(self, batch: Batch) -> torch.Tensor:
        """Forward and backward; return the detached share of the step's loss."""
        self._timer.begin()
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not torch.float32):
            logits_BCV = self._replicas.module(input_ids=batch.inputs_BC, use_cache=False).logits
            loss = token_loss(logits_BCV, batch.targets_BC) / self.spec.gradient_accumulation
        self._timer.end("forward_time_s")
        loss.backward()  # type: ignore[no-untyped-call]
        self._timer.end_backward()
        return loss.detach()

    def _follow_up(self) -> None:
        """Do what is due after a step: check, report, validate, save."""
        spec, step = self.spec, self._progress.step
        reports = step % spec.report_every_steps == 0 or step in {1, spec.steps}
        saves = step % spec.checkpoint.every_steps == 0
        validates = step % spec.validate_every_steps == 0 or (saves and spec.checkpoint.keep_best)
        if reports or saves or validates or self._device.type == "cpu":
            self._check_finite()
        if reports:
            self._report.emit(self._progress, learning_rate(spec, step), self._timer)
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
        self.validation = self._validator.score(self.model)
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
        env = self.context.env
        generators = gather_generator_states(self._device, rank=env.rank, world_size=env.world_size)
        self._saved_step = step
        if self.context.is_main:
            tensors = training_tensors(self.model, self._optimizer) | generators
            self._checkpointer.save(Snapshot(self._progress, tensors, {"loss": self._report.loss} | fresh))

    def _resume(self) -> None:
        """Take up weights, optimizer, generators and position of a checkpoint."""
        checkpoint = self.context.paths.resume_from
        assert checkpoint is not None
        progress = read_progress(checkpoint, verify_hashes=self.context.env.local_rank == 0)
        tensors = training_tensors(self.model, self._optimizer)
        generators = generator_states(self._device)
        rank = self.context.env.rank
        if rank < progress.world_size:  # a rank that was not there before keeps the generator its seed gave it
            tensors |= {generator_name(rank, kind): state for kind, state in generators.items()}
        restore(checkpoint, tensors)
        set_generator_states(generators, self._device)
        self._progress = progress.model_copy(update={"world_size": self.context.env.world_size})
        if self.context.is_main:
            self.context.events.emit(ResumedEvent, step=progress.step)
