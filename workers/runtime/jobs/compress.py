"""The ``compress`` kind: a recipe applied to a model version, on one rank."""

import sys
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel

from workers.contract.compression.recipe import CompressSpec
from workers.contract.compression.result import CompressionResult, LayerReport
from workers.runtime.compression.calibration import draw_samples
from workers.runtime.compression.recipe import apply_recipe
from workers.runtime.compression.session import Session
from workers.runtime.context import JobEnd, RankContext
from workers.runtime.data.preparation import prepare_for_model
from workers.runtime.data.tokenizer import load_model_tokenizer
from workers.runtime.errors import UserError
from workers.runtime.events import ModelEvent, ProgressEvent, ResultEvent
from workers.runtime.export import MODEL_DIRECTORY, export_model
from workers.runtime.jobs.registry import register
from workers.runtime.memory import PeakMemory
from workers.runtime.model import load_stored
from workers.runtime.parallel.parts import ModelParts


@register(CompressSpec)
def run_compress(spec: CompressSpec, context: RankContext) -> JobEnd:
    """Load, apply the recipe, and publish the smaller model with an account of each layer.

    Raises:
        UserError: more than one rank, no usable model, too little calibration data, or a step that cannot take a layer.
        StopRequested: asked to stop; nothing is published.
    """
    if context.env.world_size > 1:
        raise UserError("compress runs on one rank: ask for one node with one slot")
    if context.paths.model is None:
        raise UserError("model: the run file names no model directory")
    samples_SC = None
    if spec.calibration is not None:
        data = prepare_for_model(context, validation_pct=0)
        samples_SC = draw_samples(data.train, spec.calibration)
    context.phase("load")
    memory = PeakMemory(context.device)
    model = load_stored(context.paths.model)
    module: nn.Module = model
    module.eval()
    model.config.use_cache = False
    batch_size = 1 if spec.calibration is None else spec.calibration.batch_size
    progress = _Progress(spec, context)
    session = Session(
        model, context.device, samples_SC, batch_size, on_progress=progress.advance, on_report=progress.report
    )
    result = apply_recipe(session, spec, memory, progress.begin)
    progress.finish()
    _publish(result, model, context, context.paths.model)
    return JobEnd(step=len(spec.recipe))


class _Progress:
    """Tells how far the recipe is: the phase, the step, and a curve over the layers."""

    def __init__(self, spec: CompressSpec, context: RankContext) -> None:
        self._steps = [*(["sensitivity"] if spec.sensitivity_scan else []), *(step.method for step in spec.recipe)]
        self._context = context
        self._begun = 0
        self._num_layers = 0

    def begin(self, name: str) -> None:
        context = self._context
        context.events.emit(ProgressEvent, step=self._begun, total_steps=len(self._steps))
        self._begun += 1
        context.phase(self._phase(), 0.0)
        sys.stdout.write(f"step {self._begun}/{len(self._steps)}: {name}\n")

    def advance(self, share: float) -> None:
        self._context.stop.raise_if_wished()
        self._context.phase(self._phase(), share)

    def report(self, report: LayerReport) -> None:
        saved_pct = 100 * (1 - report.bytes_after / report.bytes_before) if report.bytes_before else 0.0
        sys.stdout.write(
            f"{report.layer}: error of {report.error_of} {report.error:.4f}, "
            f"{report.bytes_before:,} -> {report.bytes_after:,} bytes, {report.sparsity:.1%} zeros\n"
        )
        sys.stdout.flush()
        self._num_layers += 1
        values = {"layer_error": report.error, "layer_saved_pct": saved_pct, "layer_sparsity": report.sparsity}
        self._context.events.metrics(self._num_layers, values)

    def finish(self) -> None:
        context = self._context
        context.events.emit(ProgressEvent, step=len(self._steps), total_steps=len(self._steps))

    def _phase(self) -> str:
        return f"{self._steps[self._begun - 1]} ({self._begun}/{len(self._steps)})"


def _publish(result: CompressionResult, model: PreTrainedModel, context: RankContext, model_dir: Path) -> None:
    context.phase("save")
    model.config.architectures = [type(model).__name__]
    weights = {name: tensor.to("cpu") for name, tensor in ModelParts((model,)).tensors().items()}
    tokenizer = load_model_tokenizer(model_dir)
    manifest = export_model(context.paths.output, weights, model.config, tokenizer, model_dir=model_dir, model=model)
    context.events.emit(ResultEvent, result=result)
    context.events.emit(
        ModelEvent,
        directory=MODEL_DIRECTORY,
        manifest=manifest,
        metrics={
            "bytes_before": float(result.bytes_before),
            "bytes_after": float(result.bytes_after),
            "size_ratio": result.bytes_after / result.bytes_before,
        },
        num_parameters=result.parameters_after,
    )
    total = result.bytes_after / result.bytes_before
    sys.stdout.write(f"{result.bytes_before:,} -> {result.bytes_after:,} bytes ({total:.1%})\n")
    sys.stdout.flush()
