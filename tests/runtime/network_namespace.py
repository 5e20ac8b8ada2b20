"""Run by ``test_traffic``: two ranks alone in a network namespace, and what its interface has carried.

python -m tests.runtime.network_namespace RANK PORT RESULT
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed import _functional_collectives as functional
from torch.distributed.fsdp import fully_shard

from workers.runtime.traffic import Traffic

_ELEMENTS = 1 << 20
_HALF = _ELEMENTS // 2
_PEERS = 2


def main() -> None:
    """Do each kind of exchange; write the bytes this rank has counted and those of the interface, by kind."""
    rank, port, result = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    dist.init_process_group("gloo", rank=rank, world_size=_PEERS)
    traffic = Traffic()
    found = {}
    for name, exchange in _exchanges(rank).items():
        exchange()  # connections are made
        dist.barrier()
        before = _carried()
        dist.barrier()
        with traffic.counted():
            exchange()
        dist.barrier()
        found[name] = (traffic.take_bytes_per_step(), _carried() - before)
        dist.barrier()
    result.write_text(json.dumps(found))
    dist.destroy_process_group()


def _exchanges(rank: int) -> dict[str, Callable[[], object]]:
    whole, half = torch.ones(_ELEMENTS), torch.ones(_HALF)
    sharded = nn.Linear(1024, 1024, bias=False)
    fully_shard(sharded)
    everyone = dist.group.WORLD
    assert everyone is not None
    return {
        "all_reduce": lambda: dist.all_reduce(whole),
        "broadcast": lambda: dist.broadcast(whole, 0),
        "all_gather": lambda: dist.all_gather_into_tensor(whole, half),
        "all_to_all": lambda: dist.all_to_all_single(torch.empty_like(whole), whole),
        "send": lambda: dist.send(whole, 1) if rank == 0 else dist.recv(whole, 0),
        "functional": lambda: functional.wait_tensor(functional.all_reduce(whole, "sum", everyone)),
        "fsdp": lambda: sharded(torch.ones(1, 1024)).sum().backward(),
    }


def _carried() -> int:
    line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.split()[9])


if __name__ == "__main__":
    main()
