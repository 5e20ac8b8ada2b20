"""Pipeline parallelism (PP): the depth is cut into stages, micro-batches flow through them.

Schedules: GPipe, Huang et al., arXiv:1811.06965; 1F1B, Narayanan et al. (PipeDream-Flush), arXiv:2006.09503;
interleaved 1F1B, Narayanan et al., arXiv:2104.04473, section 2.2; zero bubble, Qi et al., arXiv:2401.10241. All are
torch's own.
All batches of a step go through in one run of the schedule, so the bubble is paid once.

Tied embeddings are held by the first and the last stage: each sends the other its gradient, both make the same update,
and the first one answers for the parameter in checkpoints and in the gradient's norm.

Shapes: B = micro-batch, C = context length, D = width.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch.distributed.pipelining import (
    PipelineStage,
    Schedule1F1B,
    ScheduleGPipe,
    ScheduleInterleaved1F1B,
    ScheduleInterleavedZeroBubble,
)
from torch.distributed.pipelining.schedules import PipelineScheduleMulti, PipelineScheduleSingle
from torch.distributed.tensor import DTensor

from workers.contract.distribution import PipelineSchedule, pipeline_chunks
from workers.runtime.data.sampler import Batch
from workers.runtime.model import token_loss
from workers.runtime.parallel.assembly import Assembly
from workers.runtime.parallel.ddp import local_tensor
from workers.runtime.parallel.parts import ModelParts
from workers.runtime.parallel.passes import autocast
from workers.runtime.parallel.plans import TIED_COPY, TIED_ORIGINAL, DecoderPart, check_plan

_SINGLE: dict[PipelineSchedule, type[PipelineScheduleSingle]] = {
    PipelineSchedule.GPIPE: ScheduleGPipe,
    PipelineSchedule.ONE_F_ONE_B: Schedule1F1B,
}
_LOOPED: dict[PipelineSchedule, type[PipelineScheduleMulti]] = {
    PipelineSchedule.INTERLEAVED_1F1B: ScheduleInterleaved1F1B,
    PipelineSchedule.ZERO_BUBBLE: ScheduleInterleavedZeroBubble,
}


def cut_depth(assembly: Assembly) -> None:
    """Keep the stages that are this rank's; with ``tp`` alone, the whole depth as one part."""
    degrees = assembly.mesh.degrees
    if degrees.pp == 1 and degrees.tp == 1:
        return
    model = assembly.model
    check_plan(model, assembly.spec.data.context_length)
    stages = split_evenly(model.config.num_hidden_layers, _num_stages(assembly))
    own = range(assembly.mesh.coordinate("pp"), len(stages), degrees.pp)
    modules = tuple(
        DecoderPart(model, stages[index], is_first=index == 0, is_last=index == len(stages) - 1) for index in own
    )
    aliases = {TIED_COPY: TIED_ORIGINAL} if assembly.is_tied else {}
    assembly.parts = ModelParts(modules, aliases=aliases)
    assembly.is_decomposed = True
    assembly.is_sharded = assembly.is_sharded or degrees.pp > 1


def run_stages(assembly: Assembly) -> None:
    """Let micro-batches flow through the stages, when there are several."""
    if assembly.mesh.degrees.pp > 1:
        assembly.passes = PipelinePasses(assembly)


def split_evenly(num_layers: int, num_stages: int) -> list[range]:
    """Cut the layers into stages whose sizes differ by one at most, the larger ones in the middle.

    The first stage also has the embedding and the last one the head, so they get the smaller share.
    """
    small, extra = divmod(num_layers, num_stages)
    before = (num_stages - extra) // 2
    sizes = [small + (before <= index < before + extra) for index in range(num_stages)]
    starts = [sum(sizes[:index]) for index in range(num_stages)]
    return [range(start, start + size) for start, size in zip(starts, sizes, strict=True)]


def _num_stages(assembly: Assembly) -> int:
    degrees = assembly.mesh.degrees
    return degrees.pp * assembly.spec.distribution.pipeline.num_stages_per_rank if degrees.pp > 1 else 1


class PipelinePasses:
    """Runs a step's batches through the stages."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        spec, mesh = assembly.spec, assembly.mesh
        self._group = mesh.group("pp")
        self._rank, self._size = mesh.coordinate("pp"), mesh.degrees.pp
        self._num_stages = _num_stages(assembly)
        stages = [
            PipelineStage(part, self._rank + loop * self._size, self._num_stages, assembly.device, group=self._group)
            for loop, part in enumerate(assembly.parts.modules)
        ]
        chunks = pipeline_chunks(spec.distribution, spec.micro_batch_size) * spec.gradient_accumulation
        kind = spec.distribution.pipeline.schedule
        self._schedule: PipelineScheduleSingle | PipelineScheduleMulti
        if kind in _SINGLE:
            self._schedule = _SINGLE[kind](stages[0], chunks, loss_fn=self._loss)
        else:
            self._schedule = _LOOPED[kind](list(stages), chunks, loss_fn=self._loss)
        self._is_first, self._is_last = self._rank == 0, self._rank == self._size - 1

    def forward_backward(self, batches: Iterable[Batch]) -> torch.Tensor:
        """Add a step's gradients to the parameters; return this data rank's mean loss, detached."""
        assembly, timer = self._assembly, self._assembly.timer
        drawn = list(batches)
        inputs_BC = torch.cat([batch.inputs_BC for batch in drawn])
        targets_BC = torch.cat([batch.targets_BC for batch in drawn])
        losses: list[torch.Tensor] = []
        timer.begin()
        with assembly.around_step(), autocast(assembly):
            self._schedule.step(
                *([inputs_BC] if self._is_first else []),
                target=targets_BC if self._is_last else None,
                losses=losses,
                return_outputs=False,
            )
        timer.end("pipeline_time_s")
        assembly.sync.finish()
        if assembly.is_tied and (self._is_first or self._is_last):
            self._share_tied_gradient()
        own = torch.stack([loss.detach() for loss in losses]).mean() if self._is_last else None
        return self._from_last_rank(own)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> torch.Tensor:
        """Return the mean loss without gradients; the same on all ranks that share the batch."""
        assembly = self._assembly
        hidden = batch.inputs_BC
        loss = None
        for stage in range(self._num_stages):
            rank = stage % self._size
            if rank == self._rank:
                part = assembly.parts.modules[stage // self._size]
                assert isinstance(part, DecoderPart)
                if stage > 0:
                    hidden = self._receive(batch, part, (rank - 1) % self._size)
                with assembly.around_step(), autocast(assembly):
                    output = part(hidden)
                    if part.is_last:
                        loss = self._loss(output, batch.targets_BC).detach()
                if not part.is_last:
                    dist.send(output.float().contiguous(), group=self._group, group_dst=(rank + 1) % self._size)
        assembly.sync.settle()
        return self._from_last_rank(loss)

    def _receive(self, batch: Batch, part: DecoderPart, source: int) -> torch.Tensor:
        num_samples, length = batch.inputs_BC.shape
        width = self._assembly.model.config.hidden_size
        shape = (num_samples, length // part.sequence_split, width)
        hidden_BCD = torch.empty(shape, dtype=torch.float32, device=self._assembly.device)
        dist.recv(hidden_BCD, group=self._group, group_src=source)
        return hidden_BCD

    def _loss(self, logits_BCV: torch.Tensor, targets_BC: torch.Tensor) -> torch.Tensor:
        return (self._assembly.loss or token_loss)(logits_BCV, targets_BC)

    def _from_last_rank(self, loss: torch.Tensor | None) -> torch.Tensor:
        known = loss.float() if loss is not None else torch.zeros((), device=self._assembly.device)
        dist.broadcast(known, group=self._group, group_src=self._size - 1)
        return known

    def _share_tied_gradient(self) -> None:
        parameter = dict(self._assembly.parts.named_parameters())[TIED_ORIGINAL]
        assert parameter.grad is not None
        if isinstance(parameter, DTensor) and isinstance(parameter.grad, DTensor):
            # backward of an embedding leaves its gradient laid out otherwise than that of a product
            parameter.grad = parameter.grad.redistribute(placements=parameter.placements)
        own = local_tensor(parameter.grad)
        theirs = torch.empty_like(own, memory_format=torch.contiguous_format)  # the wire knows no strides
        peer = self._size - 1 if self._is_first else 0
        operations = [
            dist.P2POp(dist.isend, own.contiguous(), group=self._group, group_peer=peer),
            dist.P2POp(dist.irecv, theirs, group=self._group, group_peer=peer),
        ]
        for work in dist.batch_isend_irecv(operations):
            work.wait()
        own.add_(theirs)
