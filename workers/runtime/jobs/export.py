"""The ``export`` kind: a model version in another form, compared with the original before it is published."""

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from workers.contract.export import (
    AnyTarget,
    EdgeBundleTarget,
    ExportResult,
    ExportSpec,
    HuggingFaceTarget,
    OnnxTarget,
    OutputCheck,
)
from workers.runtime.context import JobEnd, RankContext
from workers.runtime.data.tokenizer import TOKENIZER_FILE, load_model_tokenizer
from workers.runtime.errors import UserError
from workers.runtime.events import OutputEvent, ProgressEvent, ResultEvent
from workers.runtime.files import publish
from workers.runtime.formats import edge_bundle, graph, hugging_face
from workers.runtime.formats.reference import Requirement, compare, longest_context, require
from workers.runtime.jobs.registry import register
from workers.runtime.model import load_pretrained

EXPORT_DIRECTORY = "export"
_GRAPH_DIRECTORY = "graph"
_NUM_STAGES = 3


@register(ExportSpec)
def run_export(spec: ExportSpec, context: RankContext) -> JobEnd:
    """Write, load again, compare, and publish with the figures.

    Raises:
        UserError: more than one rank, no usable model, or an export that is not near enough; nothing is published.
        StopRequested: asked to stop; nothing is published.
    """
    if context.env.world_size > 1:
        raise UserError("export runs on one rank: ask for one node with one slot")
    if context.paths.model is None:
        raise UserError("model: the run file names no model directory")
    started = time.monotonic()
    export = _Export(spec, context, context.paths.model)
    found: list[_Written] = []

    def write(directory: Path) -> None:
        found.append(_WRITERS[type(spec.target)](export, directory))

    manifest = publish(context.paths.output / EXPORT_DIRECTORY, write)
    (written,) = found
    size_bytes = sum(file.size_bytes for file in manifest.files)
    result = ExportResult(
        format=spec.target.format,
        precision=spec.target.dtype if isinstance(spec.target, HuggingFaceTarget) else spec.target.precision,
        opset=written.opset,
        size_bytes=size_bytes,
        source_bytes=sum(path.stat().st_size for path in context.paths.model.glob("*.safetensors")),
        requirement=str(written.requirement),
        checks=written.checks,
        answer=written.answer,
        duration_s=time.monotonic() - started,
    )
    export.finish()
    context.events.emit(ResultEvent, result=result)
    context.events.emit(OutputEvent, directory=EXPORT_DIRECTORY, manifest=manifest)
    for check in written.checks:
        sys.stdout.write(
            f"batch {check.batch}, length {check.length}: largest error {check.max_error:.2e}, "
            f"top-1 agreement {check.top1_agreement:.1%}\n"
        )
    sys.stdout.write(f"{len(manifest.files)} files, {size_bytes:,} bytes\n")
    sys.stdout.flush()
    return JobEnd(step=_NUM_STAGES)


@dataclass(frozen=True)
class _Written:
    """What was found out while it was written."""

    requirement: Requirement
    checks: tuple[OutputCheck, ...]
    opset: int | None = None
    max_length: int = 0
    answer: str | None = None


class _Export:
    """The job at work: tells where it is, and heeds the wish to stop between stages."""

    def __init__(self, spec: ExportSpec, context: RankContext, model_dir: Path) -> None:
        self.spec = spec
        self.model_dir = model_dir
        self._context = context
        self._done = 0

    def stage(self, name: str) -> None:
        """Begin a stage.

        Raises:
            StopRequested: asked to stop.
        """
        self._context.stop.raise_if_wished()
        self._tell(self._done)
        self._context.phase(name)
        self._done += 1

    def finish(self) -> None:
        """Say that all is done; what is published stays, whatever is wished now."""
        self._tell(_NUM_STAGES)

    def _tell(self, step: int) -> None:
        self._context.events.emit(ProgressEvent, step=step, total_steps=_NUM_STAGES)


def _write_hugging_face(export: _Export, directory: Path) -> _Written:
    target = export.spec.target
    assert isinstance(target, HuggingFaceTarget)
    export.stage("write")
    hugging_face.write_directory(directory, target, export.model_dir)
    export.stage("compare")
    original = hugging_face.original_of(target, export.model_dir)
    module: nn.Module = original
    module.eval()
    checks = compare(original, hugging_face.reload(directory, target), seed=export.spec.seed)
    requirement = hugging_face.requirement_of(target)
    require(requirement, checks, "the directory")
    return _Written(requirement, checks)


def _write_graph(export: _Export, directory: Path) -> _Written:
    """Write the graph of plain layers: quantized ones stand for the weights that they were rounded to."""
    target = export.spec.target
    assert isinstance(target, OnnxTarget | EdgeBundleTarget)
    export.stage("write")
    model = load_pretrained(export.model_dir)
    module: nn.Module = model
    module.eval()
    path = directory / graph.GRAPH_FILE
    graph.write_graph(path, model, target)
    export.stage("compare")
    checks = compare(model, graph.open_graph(path), seed=export.spec.seed)
    requirement = graph.requirement_of(target)
    require(requirement, checks, "the graph")
    shutil.copyfile(export.model_dir / TOKENIZER_FILE, directory / TOKENIZER_FILE)
    return _Written(requirement, checks, graph.opset_of(path), longest_context(model))


def _write_bundle(export: _Export, directory: Path) -> _Written:
    target = export.spec.target
    assert isinstance(target, EdgeBundleTarget)
    folder = directory / _GRAPH_DIRECTORY
    folder.mkdir()
    written = _write_graph(export, folder)
    facts = {
        "source": export.spec.model,
        "precision": target.precision,
        "opset": written.opset,
        "max_length": written.max_length,
        "end_of_text_id": load_model_tokenizer(export.model_dir).end_of_text_id,
    }
    bundle = directory / edge_bundle.BUNDLE_FILE
    edge_bundle.pack(bundle, folder, facts)
    shutil.rmtree(folder)
    export.stage("ask")
    return replace(written, answer=edge_bundle.ask(bundle))


_WRITERS: dict[type[AnyTarget], Callable[[_Export, Path], _Written]] = {
    HuggingFaceTarget: _write_hugging_face,
    OnnxTarget: _write_graph,
    EdgeBundleTarget: _write_bundle,
}
"""How each format is written; every target of the contract has an entry."""
