"""A training script of one's own: two ranks, metrics, checkpoints, a stop request, a result. Works by hand too::

torchrun --nproc-per-node 2 train.py --steps 50
cox job submit ../script.yaml --source . --watch
"""

import argparse
import os
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import coxswain


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--step-s", type=float, default=0.0, help="sleep this long in every step")
    options = parser.parse_args()

    dist.init_process_group("gloo")
    run = coxswain.init(total_steps=options.steps)
    torch.manual_seed(1)
    model = DistributedDataParallel(nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    if run.rank == 0:
        print("token:", os.environ.get("TOKEN", "none given"), flush=True)  # masked in the job's log

    start = 0
    if run.resume_from:
        state = torch.load(run.resume_from / "state.pt")
        model.load_state_dict(state["model"])
        start = state["step"]
        print(f"resumed after step {start}", flush=True)

    last = Path("checkpoint")
    for step in range(start + 1, options.steps + 1):
        x = torch.randn(32, 16, generator=torch.Generator().manual_seed(step * run.world_size + run.rank))
        loss = (model(x) - x.sum(dim=1, keepdim=True)).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        time.sleep(options.step_s)
        run.log({"loss": loss}, step=step)
        must_stop = run.should_stop()  # the same answer on every rank
        if step % 20 == 0 or must_stop:
            if run.rank == 0:
                last.mkdir(exist_ok=True)
                torch.save({"model": model.state_dict(), "step": step}, last / "state.pt")
                run.checkpoint(last, step=step)
            dist.barrier()
        if must_stop:
            break

    if run.rank == 0:
        torch.save(model.module.state_dict(), run.output / "model.pt")  # becomes an artifact of the job
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
