"""Launch plans: what is started, without starting it."""

import sys
from pathlib import Path

import pytest

from tests.agent.conftest import make_order
from workers.agent.launch import (
    AllocationPaths,
    NodeFacts,
    cold_command,
    fork_request,
    inherit_env,
    needs_cold_start,
    plan_launch,
)
from workers.contract.node_api import DeviceKind, InputRef

PATHS = AllocationPaths(Path("/data/allocations/x"))
DIGEST = "a" * 64


def facts(kind: DeviceKind = DeviceKind.CPU, **changes: object) -> NodeFacts:
    fields: dict[str, object] = {
        "device_kind": kind,
        "cpu_count": 8,
        "num_slots": 4,
        "runtime_cache": Path("/data/cache/runtime"),
        "interface": "eth0",
        "inherited_env": {"PATH": "/bin"},
        **changes,
    }
    return NodeFacts(**fields)  # type: ignore[arg-type]


def test_ranks_of_the_second_node_have_torchruns_environment() -> None:
    order = make_order([]).model_copy(
        update={"node_rank": 1, "num_nodes": 2, "device_indices": (2, 3), "master_addr": "10.0.0.7", "master_port": 29}
    )
    plan = plan_launch(order, paths=PATHS, inputs={}, node=facts(DeviceKind.CUDA))
    assert [rank.rank for rank in plan.ranks] == [2, 3]
    assert plan.ranks[1].env == {
        "PATH": "/bin",
        "RANK": "3",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "4",
        "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "1",
        "GROUP_WORLD_SIZE": "2",
        "MASTER_ADDR": "10.0.0.7",
        "MASTER_PORT": "29",
        "OMP_NUM_THREADS": "2",
        "CUDA_VISIBLE_DEVICES": "2,3",
        "GLOO_SOCKET_IFNAME": "eth0",
        "NCCL_SOCKET_IFNAME": "eth0",
        "PYTHONUNBUFFERED": "1",
    }
    assert plan.ranks[1].stdout == Path("/data/allocations/x/logs/rank3.stdout")


def test_ranks_on_cpu_slots_see_no_gpu() -> None:
    plan = plan_launch(make_order([]), paths=PATHS, inputs={}, node=facts())
    assert plan.ranks[0].env["CUDA_VISIBLE_DEVICES"] == ""


def test_operators_network_settings_win() -> None:
    node = facts(inherited_env={"GLOO_SOCKET_IFNAME": "ib0", "OMP_NUM_THREADS": "3"})
    env = plan_launch(make_order([]), paths=PATHS, inputs={}, node=node).ranks[0].env
    assert (env["GLOO_SOCKET_IFNAME"], env["OMP_NUM_THREADS"]) == ("ib0", "3")


def test_run_file_names_inputs_by_role() -> None:
    refs = tuple(InputRef(role=role, name=role, digest=DIGEST, files=()) for role in ("dataset", "model", "checkpoint"))
    inputs = {"dataset": Path("/c/d"), "model": Path("/c/m"), "checkpoint": Path("/c/k")}
    run = plan_launch(make_order([], inputs=refs), paths=PATHS, inputs=inputs, node=facts()).run_file
    assert (run.dataset_dir, run.dataset_digest, run.model_dir, run.resume_from) == ("/c/d", DIGEST, "/c/m", "/c/k")
    assert run.output_dir == "/data/allocations/x/output"


def test_inherited_environment_has_no_secrets() -> None:
    environ = {"PATH": "/bin", "COX_SECRET_KEY": "s", "DATABASE_URL": "d", "NCCL_DEBUG": "INFO", "AWS_SECRET": "x"}
    assert inherit_env(environ) == {"PATH": "/bin", "NCCL_DEBUG": "INFO"}


@pytest.mark.parametrize(
    ("name", "is_cold"),
    [("HF_HOME", True), ("LD_PRELOAD", True), ("OMP_PROC_BIND", True), ("OMP_NUM_THREADS", False), ("RANK", False)],
)
def test_variables_read_at_import_time_start_cold(name: str, is_cold: bool) -> None:
    assert needs_cold_start({"PATH": "/bin", name: "x"}, {"PATH": "/bin"}) is is_cold
    assert not needs_cold_start({name: "x"}, {name: "x"})


def test_variable_the_server_has_and_the_rank_must_not_have_starts_cold() -> None:
    assert needs_cold_start({}, {"HF_HOME": "/x"})


def test_warm_and_cold_start_say_the_same() -> None:
    plan = plan_launch(make_order([]), paths=PATHS, inputs={}, node=facts(rank_user="cox"))
    request = fork_request(plan, plan.ranks[1], "id")
    assert (request.env, request.user, request.run_file) == (plan.ranks[1].env, "cox", str(PATHS.run_file))
    command = cold_command(plan, python=sys.executable)
    assert command[-4:] == (sys.executable, "-m", "workers.runtime", str(PATHS.run_file))
    assert command[4:6] == ("--user", "cox")
