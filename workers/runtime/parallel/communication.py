"""The methods of ``workers.runtime.communication`` as extensions of a run: one line of ``METHODS`` for each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.distributed.constants import default_pg_timeout

from workers.contract.communication import (
    BF16Compression,
    DelayedUpdate,
    DiLoCo,
    EveryStep,
    FP16Compression,
    HierarchicalAveraging,
    LocalSGD,
    Method,
    NoAveraging,
    ParameterServer,
    PowerSGDCompression,
    TopKCompression,
)
from workers.contract.training import TrainSpec
from workers.runtime.communication import delayed, parameter_server
from workers.runtime.communication.casts import CastHook
from workers.runtime.communication.diloco import OuterOptimizer
from workers.runtime.communication.hook import GradientHook
from workers.runtime.communication.local_sgd import HierarchicalPeriodicAveraging, PeriodicAveraging, make_groups
from workers.runtime.communication.powersgd import PowerSGDHook
from workers.runtime.communication.synchroniser import Synchroniser
from workers.runtime.communication.topk import TopKHook
from workers.runtime.communication.weight_averaging import WeightAverage
from workers.runtime.context import RankContext
from workers.runtime.parallel.assembly import Assembly
from workers.runtime.parallel.extension import BucketHook, Extension, Tensors


@dataclass(frozen=True)
class Replica:
    """What a method is made for."""

    model: nn.Module
    """On its device; not wrapped."""
    seed: int
    total_steps: int
    local_world_size: int

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """By name."""
        return dict(self.model.named_parameters())


def _local_sgd(replica: Replica, method: LocalSGD) -> Synchroniser:
    return PeriodicAveraging(replica.model, method, total_steps=replica.total_steps)


def _hierarchical(replica: Replica, method: HierarchicalAveraging) -> Synchroniser:
    group = make_groups(method.group_size or replica.local_world_size)
    return HierarchicalPeriodicAveraging(replica.model, method, group=group, total_steps=replica.total_steps)


def _diloco(replica: Replica, method: DiLoCo) -> Synchroniser:
    return OuterOptimizer(replica.model, method, total_steps=replica.total_steps)


def _delayed(replica: Replica, method: DelayedUpdate) -> Synchroniser:
    return delayed.DelayedUpdate(replica.model, total_steps=replica.total_steps)


def _parameter_server(replica: Replica, method: ParameterServer) -> Synchroniser:
    return parameter_server.ParameterServer(replica.model, staleness=method.staleness, timeout=default_pg_timeout)


def _powersgd(replica: Replica, method: PowerSGDCompression) -> GradientHook:
    return PowerSGDHook(replica.parameters, method, seed=replica.seed)


def _topk(replica: Replica, method: TopKCompression) -> GradientHook:
    return TopKHook(replica.parameters, method)


METHODS: dict[type[Method], Callable[..., GradientHook | Synchroniser]] = {
    FP16Compression: lambda _replica, _method: CastHook(torch.float16),
    BF16Compression: lambda _replica, _method: CastHook(torch.bfloat16),
    PowerSGDCompression: _powersgd,
    TopKCompression: _topk,
    LocalSGD: _local_sgd,
    HierarchicalAveraging: _hierarchical,
    DiLoCo: _diloco,
    DelayedUpdate: _delayed,
    ParameterServer: _parameter_server,
}
"""How each method of the contract is made: a hook of DDP's buckets, or what replaces averaged gradients."""

_HOOKS = (FP16Compression, BF16Compression, PowerSGDCompression, TopKCompression)


def communicating(spec: TrainSpec, context: RankContext) -> Extension | None:
    """Return the extension of the method the spec asks for; None where gradients are averaged in every step."""
    method = spec.distribution.communication
    if isinstance(method, EveryStep):
        return None
    kind = CompressedGradients if isinstance(method, _HOOKS) else Synchronised
    return kind(method, local_world_size=context.env.local_world_size)


def averaged_weights(spec: TrainSpec, context: RankContext) -> Extension | None:
    """Return the extension that keeps an average of the weights, where it is asked for."""
    return None if isinstance(spec.optimizer.weight_averaging, NoAveraging) else AveragedWeights()


class _Communication(Extension):
    """Makes the method when the model is in place."""

    def __init__(self, method: Method, *, local_world_size: int) -> None:
        self._method = method
        self._local_world_size = local_world_size

    def _make(self, assembly: Assembly) -> GradientHook | Synchroniser:
        spec = assembly.spec
        replica = Replica(assembly.model, spec.seed, spec.steps, self._local_world_size)
        return METHODS[type(self._method)](replica, self._method)


class CompressedGradients(_Communication):
    """Averages DDP's buckets through a hook of ours.

    With another number of ranks the residuals are lost (a part of one step's gradient) and factors begin anew.
    """

    _hook: GradientHook

    def prepare(self, assembly: Assembly) -> None:
        """Make the hook, with what it keeps for each parameter."""
        made = self._make(assembly)
        assert isinstance(made, GradientHook)
        self._hook = made

    def bucket_hook(self) -> BucketHook:
        """Return the hook."""
        return self._hook

    def begin(self, step: int) -> None:
        """Await the gradients of the next step."""
        self._hook.step = step + 1

    def after_update(self, step: int) -> None:
        """Await the gradients of the next step."""
        self._hook.step = step + 1

    def rank_state(self) -> Tensors:
        """Return residuals and factors, which belong together; nothing for a hook that keeps none."""
        return self._hook.shared_state() | self._hook.rank_state()


class Synchronised(_Communication):
    """Lets a synchroniser keep the replicas together."""

    replaces_gradient_sync = True
    _synchroniser: Synchroniser

    def prepare(self, assembly: Assembly) -> None:
        """Make the synchroniser; a parameter server's rank 0 works on a replica beside the served weights."""
        made = self._make(assembly)
        assert isinstance(made, Synchroniser)
        self._synchroniser = made
        if isinstance(made, parameter_server.ParameterServer):
            assembly.entry = made.replica

    def synchroniser(self) -> Synchroniser:
        """Return it."""
        return self._synchroniser

    def adopt_weights(self) -> None:
        """Begin anew from the model's weights."""
        self._synchroniser.adopt_weights()

    def shared_state(self) -> Tensors:
        """Return what is the same on all ranks."""
        return self._synchroniser.shared_state()

    def rank_state(self) -> Tensors:
        """Return what is this rank's alone."""
        return self._synchroniser.rank_state()


class AveragedWeights(Extension):
    """Validates and exports an average of the weights; training goes on with its own."""

    _average: WeightAverage

    def prepare(self, assembly: Assembly) -> None:
        """Begin the average."""
        averaging = assembly.spec.optimizer.weight_averaging
        assert not isinstance(averaging, NoAveraging)
        self._average = WeightAverage(assembly.parts, averaging, total_steps=assembly.spec.steps)

    def adopt_weights(self) -> None:
        """Begin anew from the model's weights."""
        self._average.adopt_weights()

    def after_update(self, step: int) -> None:
        """Take the new weights in."""
        self._average.after_step(step)

    def shared_state(self) -> Tensors:
        """Return the average and its count."""
        return self._average.shared_state()

    @contextmanager
    def final_weights(self) -> Iterator[None]:
        """Let the model hold the average within the block."""
        with self._average.in_place():
            yield
