"""What one node must start for a launch order, as a pure function of the order and the node.

Ranks get torchrun's environment variables, so the same program runs under either.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workers.contract.forkserver import ForkRequest
from workers.contract.node_api import DeviceKind, InputRef, LaunchOrder
from workers.contract.run import RunFile

# What a rank may inherit from the agent: where programs and time zones are, and how the operator tuned the network.
_INHERITED = ("HOME", "LANG", "LOGNAME", "PATH", "SSL_CERT_FILE", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV")
_INHERITED_PREFIXES = ("GLOO_", "HF_", "LC_", "LD_", "NCCL_", "OMP_", "TORCH_", "TRANSFORMERS_")
# Libraries read these while they are imported: a forked rank would not notice that they differ.
_IMPORT_TIME_PREFIXES = ("HF_", "LD_", "OMP_", "PYTHON", "TRANSFORMERS_")
# ... except the thread count, which the runtime sets again in each rank.
_SET_AGAIN_IN_RANK = frozenset({"OMP_NUM_THREADS"})


@dataclass(frozen=True)
class AllocationPaths:
    """Where an allocation lives on this node."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def run_file(self) -> Path:
        return self.root / "run.json"

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def control(self) -> Path:
        return self.output / "control.json"

    @property
    def staged(self) -> Path:
        """Checkpoints held by hard links until they are uploaded."""
        return self.root / "staged"

    def events(self, rank: int) -> Path:
        return self.output / "events" / f"rank{rank}.jsonl"

    def pulse(self, rank: int) -> Path:
        return self.output / "events" / f"rank{rank}.pulse"

    def log(self, rank: int, stream: str) -> Path:
        return self.root / "logs" / f"rank{rank}.{stream}"


@dataclass(frozen=True)
class NodeFacts:
    """What a launch depends on beside the order."""

    device_kind: DeviceKind
    cpu_count: int
    num_slots: int
    runtime_cache: Path
    interface: str | None
    inherited_env: Mapping[str, str]
    rank_user: str | None = None
    collective_timeout_s: float = 600.0


@dataclass(frozen=True)
class RankPlan:
    """One process."""

    rank: int
    env: dict[str, str]
    stdout: Path
    stderr: Path


@dataclass(frozen=True)
class LaunchPlan:
    """All that is started, and the file they all read."""

    run_file: RunFile
    run_file_path: Path
    cwd: Path
    ranks: tuple[RankPlan, ...]
    user: str | None
    command: tuple[str, ...] | None = None
    """A program of its own, started cold once; None: the runtime, on each rank."""


def inherit_env(environ: Mapping[str, str]) -> dict[str, str]:
    """Keep of the agent's environment what a rank may see; no secret and no setting of ours is among it."""
    return {
        name: value for name, value in environ.items() if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }


def local_ranks(order: LaunchOrder) -> range:
    """Global numbers of the ranks this node runs."""
    first = order.node_rank * order.slots_per_node
    return range(first, first + order.slots_per_node)


def plan_launch(
    order: LaunchOrder, *, paths: AllocationPaths, inputs: Mapping[str, Path], node: NodeFacts
) -> LaunchPlan:
    """Plan every process of this node; ``inputs`` maps an input's role to its directory."""
    roles: dict[str, InputRef] = {ref.role: ref for ref in order.inputs}
    run_file = RunFile(
        spec=order.spec,
        output_dir=str(paths.output),
        cache_dir=str(node.runtime_cache),
        dataset_dir=_path_of("dataset", inputs),
        dataset_digest=roles["dataset"].digest if "dataset" in roles else None,
        model_dir=_path_of("model", inputs),
        reference_dir=_path_of("reference", inputs),
        resume_from=_path_of("checkpoint", inputs),
        collective_timeout_s=node.collective_timeout_s,
    )
    shared = shared_env(order, node)
    ranks = tuple(
        RankPlan(
            rank=rank,
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(local_rank)},
            stdout=paths.log(rank, "stdout"),
            stderr=paths.log(rank, "stderr"),
        )
        for local_rank, rank in enumerate(local_ranks(order))
    )
    return LaunchPlan(run_file, paths.run_file, paths.root, ranks, node.rank_user)


def _path_of(role: str, inputs: Mapping[str, Path]) -> str | None:
    return str(inputs[role]) if role in inputs else None


def shared_env(order: LaunchOrder, node: NodeFacts) -> dict[str, str]:
    """The environment that all ranks of this node have in common."""
    env = dict(node.inherited_env)
    env.setdefault("OMP_NUM_THREADS", str(max(1, node.cpu_count // node.num_slots)))
    if node.interface is not None:
        env.setdefault("GLOO_SOCKET_IFNAME", node.interface)
        env.setdefault("NCCL_SOCKET_IFNAME", node.interface)
    # On CPU slots no GPU is visible: a rank must not take a device that nobody allocated to it.
    is_cuda = node.device_kind is DeviceKind.CUDA
    return env | {
        "WORLD_SIZE": str(order.num_nodes * order.slots_per_node),
        "LOCAL_WORLD_SIZE": str(order.slots_per_node),
        "GROUP_RANK": str(order.node_rank),
        "GROUP_WORLD_SIZE": str(order.num_nodes),
        "MASTER_ADDR": order.master_addr,
        "MASTER_PORT": str(order.master_port),
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, order.device_indices)) if is_cuda else "",
        "PYTHONUNBUFFERED": "1",
    }


def needs_cold_start(rank_env: Mapping[str, str], server_env: Mapping[str, str]) -> bool:
    """Tell whether the rank's environment differs from the fork server's in what imports have read already."""
    names = {
        name
        for name in (*rank_env, *server_env)
        if name.startswith(_IMPORT_TIME_PREFIXES) and name not in _SET_AGAIN_IN_RANK and name != "PYTHONUNBUFFERED"
    }
    return any(rank_env.get(name) != server_env.get(name) for name in names)


def fork_request(plan: LaunchPlan, rank: RankPlan, request_id: str) -> ForkRequest:
    """Say the plan of one rank in the fork server's words."""
    return ForkRequest(
        request_id=request_id,
        run_file=str(plan.run_file_path),
        env=rank.env,
        cwd=str(plan.cwd),
        stdout_path=str(rank.stdout),
        stderr_path=str(rank.stderr),
        user=plan.user,
    )


def cold_command(plan: LaunchPlan, *, python: str = sys.executable) -> tuple[str, ...]:
    """The command of a rank that is started without the fork server, or of the plan's own program.

    Through a launcher of a few lines that binds the rank's life to the agent's and then becomes the runtime.
    """
    if plan.command is not None:
        return plan.command
    launcher = str(Path(__file__).with_name("launcher.py"))
    user = ("--user", plan.user) if plan.user is not None else ()
    return (python, "-I", "-S", launcher, *user, "--", python, "-m", "workers.runtime", str(plan.run_file_path))
