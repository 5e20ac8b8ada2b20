"""``python -m workers.runtime.probe``: one rank that computes a little, talks to its peers once, and tells what it saw.

Started by a node's doctor with the variables that torchrun sets. It goes the way every rank goes, through the same
choice of device and backend, so what it cannot do no job can do.
"""

import argparse
import json
import os
import sys
import time

from workers.runtime.environment import prepare_environment, rank_environment

_SIDE = 64
_TIMEOUT_S = 30.0


def main() -> int:
    """Compute, sum the numbers of all ranks, print what was found as one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--on-cpu", action="store_true", help="talk over gloo though there is a GPU")
    options = parser.parse_args()
    prepare_environment()
    if options.on_cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""

    import torch
    import torch.distributed as dist

    from workers.runtime.device import join_process_group, leave_process_group, pick_device

    me = rank_environment()
    device = pick_device(me.local_rank)
    ones = torch.ones(_SIDE, _SIDE, device=device)
    product = float((ones @ ones)[0, 0])
    started = time.monotonic()
    join_process_group(device, rank=me.rank, world_size=me.world_size, collective_timeout_s=_TIMEOUT_S)
    total = torch.tensor([me.rank + 1.0], device=device)
    if me.world_size > 1:
        dist.all_reduce(total)
    found = {
        "torch": torch.__version__,
        "device": device.type,
        "computes": product == _SIDE,
        "sums": float(total) == me.world_size * (me.world_size + 1) / 2,
        "seconds": round(time.monotonic() - started, 3),
    }
    leave_process_group()
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
