"""ZeRO stage 1: each data-parallel rank keeps the optimizer state of some parameters, and updates them for all.

Rajbhandari et al., arXiv:1910.02054, section 5.1. Gradients are averaged as in DDP; after the update the owners
send their parameters round. Whole parameters are owned, so the numbers are DDP's.
"""

import torch
from torch.distributed.optim import ZeroRedundancyOptimizer

from workers.contract.distribution import ZeRO1
from workers.runtime.optimizer import allocate_state, parameter_groups
from workers.runtime.parallel.assembly import Assembly


def own_optimizer_state(assembly: Assembly) -> None:
    """Use the sharded optimizer where the spec says ``zero1`` and there is somebody to share with."""
    if not isinstance(assembly.spec.distribution.data_parallel, ZeRO1) or assembly.mesh.data_size == 1:
        return
    spec = assembly.spec.optimizer
    optimizer = ZeroRedundancyOptimizer(
        parameter_groups(assembly.parts, spec),
        optimizer_class=torch.optim.AdamW,
        process_group=assembly.mesh.group("dp_replicate"),
        lr=spec.learning_rate,
        betas=(spec.beta1, spec.beta2),
        eps=spec.eps,
        fused=True,
    )
    allocate_state(optimizer.optim)
    assembly.optimizer = optimizer
    assembly.is_sharded = True
