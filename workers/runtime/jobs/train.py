"""The ``train`` kind: from a dataset to a model in the Hugging Face layout."""

import torch.distributed as dist

from workers.contract.training import TrainSpec
from workers.runtime.checkpoint import Tensors
from workers.runtime.context import JobEnd, RankContext
from workers.runtime.data.preparation import PreparedData, prepare_data
from workers.runtime.events import ModelEvent, metric_value
from workers.runtime.export import MODEL_DIRECTORY, export_model
from workers.runtime.host_sampler import HostSampler
from workers.runtime.jobs.registry import register
from workers.runtime.trainer import Trainer


@register(TrainSpec)
def run_train(spec: TrainSpec, context: RankContext) -> JobEnd:
    """Prepare the data, train, and publish the model unless the run was asked to stop."""
    data = prepare_data(spec, context)
    context.phase("load")
    trainer = Trainer(spec, context, data)
    with HostSampler(context, current_step=lambda: trainer.step):
        end = trainer.run()
    if not end.stopped:
        context.phase("save")
        weights = trainer.full_weights()
        if context.is_main:
            _publish_model(trainer, weights, context, data)
    trainer.close()
    if context.env.world_size > 1:
        dist.barrier()  # a rank that left early would look like a lost one to those still at work
    return end


def _publish_model(trainer: Trainer, weights: Tensors, context: RankContext, data: PreparedData) -> None:
    is_pretrained = trainer.spec.tokenizer.source == "model"
    manifest = export_model(
        context.paths.output,
        weights,
        trainer.config,
        data.tokenizer,
        model_dir=context.paths.model if is_pretrained else None,
    )
    context.events.emit(
        ModelEvent,
        directory=MODEL_DIRECTORY,
        manifest=manifest,
        metrics={key: metric_value(value) for key, value in trainer.final_metrics().items()},
        num_parameters=trainer.num_parameters,
    )
