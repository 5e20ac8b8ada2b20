"""The ``evaluate`` kind: a model version measured, alone and against a reference, on one rank.

Speed and memory come first, while nothing but the model is loaded and in the form in which it is stored; the reference
and scoring in the wanted precision follow.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from workers.contract.evaluation.fit import find_misfits, is_encoder, measures_of
from workers.contract.evaluation.metrics import GENERATION_BATCHES, Measure
from workers.contract.evaluation.result import EvaluationResult, Measurement
from workers.contract.evaluation.spec import EvaluateSpec
from workers.contract.training import Precision
from workers.runtime.context import JobEnd, RankContext
from workers.runtime.data.preparation import prepare_for_model
from workers.runtime.data.tokenizer import load_model_tokenizer, read_tokenizer
from workers.runtime.device import compute_dtype
from workers.runtime.errors import UserError
from workers.runtime.evaluation.embedding import cosines, encode, load_encoder, texts_of
from workers.runtime.evaluation.footprint import describe_hardware, dtype_name, size_measurements, stored_dtype
from workers.runtime.evaluation.generation import Speed, prompts_of, time_rounds
from workers.runtime.evaluation.scoring import (
    Arithmetic,
    batches_of,
    mean_measurement,
    measurements_of,
    score,
)
from workers.runtime.events import ProgressEvent, ResultEvent
from workers.runtime.jobs.registry import register
from workers.runtime.memory import PeakMemory
from workers.runtime.model import load_stored


@register(EvaluateSpec)
def run_evaluate(spec: EvaluateSpec, context: RankContext) -> JobEnd:
    """Measure what the spec asks for and emit the figures.

    Raises:
        UserError: more than one rank, no usable model or reference, or a measure that the model cannot take.
        StopRequested: asked to stop; nothing is reported.
    """
    if context.env.world_size > 1:
        raise UserError("evaluate runs on one rank: ask for one node with one slot")
    model_dir = context.paths.model
    if model_dir is None:
        raise UserError("model: the run file names no model directory")
    config = _read_config(model_dir)
    has_reference = context.paths.reference is not None
    for field, message in find_misfits(spec, config, has_reference=has_reference).items():
        raise UserError(f"{field}: {message}")
    measures = measures_of(spec, config, has_reference=has_reference)
    if not measures:
        raise UserError("measure: nothing is possible without a dataset and a reference")
    evaluation = (_EncoderEvaluation if is_encoder(config) else _Evaluation)(spec, context, model_dir, measures)
    began_s = time.monotonic()
    found = evaluation.run()
    result = EvaluationResult(
        measurements=tuple(found),
        hardware=describe_hardware(context.device),
        duration_s=time.monotonic() - began_s,
    )
    context.events.emit(ResultEvent, result=result)
    return JobEnd(step=len(measures))


def _read_config(model_dir: Path) -> dict[str, Any]:
    try:
        config = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"model: {model_dir} is not a model directory: {error}") from error
    return config if isinstance(config, dict) else {}


class _Progress:
    """Tells which measure it is, how far that is, and each figure as it is known."""

    def __init__(self, context: RankContext, measures: tuple[Measure, ...]) -> None:
        self._context = context
        self._total = len(measures)
        self._done = 0
        self._name = ""

    def begin(self, name: str) -> None:
        self._name = name
        self._context.events.emit(ProgressEvent, step=self._done, total_steps=self._total)
        self.advance(0.0)

    def advance(self, share: float) -> None:
        self._context.stop.raise_if_wished()
        self._context.phase(self._name, share)

    def finish(self, *measures: Measure) -> None:
        self._done += len(measures)
        self._context.events.emit(ProgressEvent, step=self._done, total_steps=self._total)

    def say(self, found: list[Measurement]) -> None:
        for each in found:
            spread = "" if each.spread is None else f" +- {each.spread:.3g}"
            sys.stdout.write(f"{each.metric}: {each.value:,.6g}{spread} {each.unit}".rstrip() + f" ({each.dtype})\n")
        sys.stdout.flush()


class _Evaluation:
    """A causal language model on its way through the measures."""

    def __init__(
        self, spec: EvaluateSpec, context: RankContext, model_dir: Path, measures: tuple[Measure, ...]
    ) -> None:
        self._spec = spec
        self._context = context
        self._model_dir = model_dir
        self._measures = measures
        self._progress = _Progress(context, measures)
        self._found: list[Measurement] = []

    def run(self) -> list[Measurement]:
        """Return all figures."""
        wants_scores = {Measure.PERPLEXITY, Measure.AGREEMENT} & set(self._measures)
        batches = self._batches() if wants_scores else []
        self._progress.begin("load")
        memory = PeakMemory(self._context.device)
        model = load_stored(self._model_dir)
        _place(model, self._context.device)
        if Measure.SIZE in self._measures:
            self._keep(size_measurements(model, self._model_dir, stored_dtype(model)), Measure.SIZE)
        if Measure.GENERATION in self._measures:
            self._generate(model, memory)
        if wants_scores:
            self._score(model, batches)
        return self._found

    def _batches(self) -> list[Any]:
        spec = self._spec
        self._check_tokenizers()
        data = prepare_for_model(self._context, validation_pct=spec.validation_pct)
        stream = data.validation if spec.validation_pct else data.train
        return batches_of(
            stream, num_samples=spec.num_samples, length=spec.length, batch_size=spec.batch_size, seed=spec.seed
        )

    def _check_tokenizers(self) -> None:
        reference = self._context.paths.reference
        if Measure.AGREEMENT not in self._measures or reference is None:
            return
        if load_model_tokenizer(reference).digest != load_model_tokenizer(self._model_dir).digest:
            raise UserError("reference: it reads texts with another tokenizer, so its predictions are of other tokens")

    def _generate(self, model: PreTrainedModel, memory: PeakMemory) -> None:
        timing, progress, context = self._spec.generation, self._progress, self._context
        arithmetic, dtype = _arithmetic(Precision.AUTO, context.device, served=model)
        progress.begin("generate")
        num_rounds = (timing.warmup + timing.repeats) * len(GENERATION_BATCHES)
        begun = 0

        def before_round() -> None:
            nonlocal begun
            progress.advance(begun / num_rounds)
            begun += 1

        speeds = []
        prompts_BP = prompts_of(model, timing, batch=max(GENERATION_BATCHES), seed=self._spec.seed)
        for batch in GENERATION_BATCHES:
            rounds = []
            for each in time_rounds(model, prompts_BP[:batch], timing, arithmetic, before_round):
                rounds.append(each)
                speed = batch * (timing.new_tokens - 1) / each.decode_s
                context.events.metrics(len(rounds), {f"decode_tokens_per_s_batch{batch}": speed})
            speeds.append(Speed(batch, tuple(rounds), timing))
        peak = Measurement(metric="peak_memory_bytes", unit="bytes", value=float(memory.peak_bytes()), dtype=dtype)
        self._keep([*(figure for speed in speeds for figure in speed.measurements(dtype)), peak], Measure.GENERATION)

    def _score(self, model: PreTrainedModel, batches: list[Any]) -> None:
        context, spec = self._context, self._spec
        reference: PreTrainedModel | None = None
        if Measure.AGREEMENT in self._measures:
            assert context.paths.reference is not None  # find_misfits asks for it
            self._progress.begin("load reference")
            reference = load_stored(context.paths.reference)
            _place(reference, context.device)
        arithmetic, dtype = _arithmetic(spec.precision, context.device)
        _widen(model, dtype)
        if reference is not None:
            _widen(reference, dtype)
        self._progress.begin("score")
        scores = None
        for done, scores in enumerate(score(model, reference, batches, context.device, arithmetic), start=1):
            self._progress.advance(done / len(batches))
            context.events.metrics(done, {"perplexity": scores.perplexity})
        assert scores is not None  # batches_of refuses to return none
        scored = [measure for measure in (Measure.PERPLEXITY, Measure.AGREEMENT) if measure in self._measures]
        self._keep(measurements_of(scores, dtype, with_loss=Measure.PERPLEXITY in scored), *scored)

    def _keep(self, found: list[Measurement], *measures: Measure) -> None:
        self._found += found
        self._progress.say(found)
        self._progress.finish(*measures)


class _EncoderEvaluation(_Evaluation):
    """An encoder on its way through the measures."""

    def run(self) -> list[Measurement]:
        """Return all figures."""
        self._progress.begin("load")
        model = load_encoder(self._model_dir).to(self._context.device)
        if Measure.SIZE in self._measures:
            self._keep(size_measurements(model, self._model_dir, stored_dtype(model)), Measure.SIZE)
        if Measure.EMBEDDING in self._measures:
            self._compare(model)
        return self._found

    def _compare(self, model: nn.Module) -> None:
        context, spec = self._context, self._spec
        assert context.paths.reference is not None  # find_misfits asks for it
        if context.paths.dataset is None:
            raise UserError("dataset: the run file names no dataset directory")
        reference = load_encoder(context.paths.reference).to(context.device)
        texts = texts_of(context.paths.dataset, num_samples=spec.num_samples, validation_pct=spec.validation_pct)
        tokenizer = read_tokenizer(self._model_dir)
        batches = encode(tokenizer, texts, length=spec.length, batch_size=spec.batch_size)
        arithmetic, dtype = _arithmetic(spec.precision, context.device)
        _widen(model, dtype)
        _widen(reference, dtype)
        self._progress.begin("compare")
        values: list[float] = []
        for done, each in enumerate(cosines(model, reference, batches, context.device, arithmetic), start=1):
            values += each
            self._progress.advance(done / len(batches))
            context.events.metrics(done, {"embedding_cosine": sum(values) / len(values)})
        self._keep([mean_measurement("embedding_cosine", values, dtype)], Measure.EMBEDDING)


def _place(model: PreTrainedModel, device: torch.device) -> None:
    module: nn.Module = model
    module.eval().to(device)


def _widen(module: nn.Module, dtype: str) -> None:
    """Compute in full precision whatever is stored: integers stay what they are."""
    if dtype == "fp32":
        module.float()


def _arithmetic(
    precision: Precision, device: torch.device, *, served: PreTrainedModel | None = None
) -> tuple[Callable[[], contextlib.AbstractContextManager[object]], str]:
    """Return how forward passes compute, and the name of the type; ``served`` keeps its own type without bf16."""
    dtype = compute_dtype(precision, device)

    def make() -> contextlib.AbstractContextManager[object]:
        return torch.autocast(device.type, dtype, enabled=dtype is not torch.float32)

    arithmetic: Arithmetic = make
    if served is not None and dtype is torch.float32:
        return arithmetic, dtype_name(next(served.parameters()).dtype)
    return arithmetic, dtype_name(dtype)
