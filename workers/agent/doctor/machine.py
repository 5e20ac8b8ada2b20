"""What the machine itself has: room, descriptors, devices, an address, and ranks that reach each other."""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from workers.agent.devices import NoSuchDevice, RendezvousPort, discover_devices, find_address, find_interface
from workers.agent.doctor.findings import Finding, failed, ok, skipped, warning
from workers.agent.settings import GIB, DeviceChoice
from workers.contract.node_api import DeviceInfo, DeviceKind

_LEAST_FREE_GIB = 1
_GOOD_FREE_GIB = 20
_GOOD_SHM_BYTES = 1 * GIB
_GOOD_OPEN_FILES = 4096
_NUM_RANKS = 2
_COLLECTIVE_TIMEOUT_S = 120.0
_LAST_WORDS = 4000


def check_disk(folder: Path) -> Finding:
    """Write where the node keeps its files, and look at the room that is left."""
    place = folder
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place) as stream:
            stream.write(b"\0" * 4096)
            os.fsync(stream.fileno())
    except OSError as error:
        return failed("disk", f"{place} cannot be written: {error.strerror}", "name another folder with --data-dir")
    free_gib = shutil.disk_usage(place).free / GIB
    message = f"{place} has {free_gib:.0f} GiB left"
    if free_gib < _LEAST_FREE_GIB:
        return failed("disk", message, "free some, or name another disk with --data-dir")
    if free_gib < _GOOD_FREE_GIB:
        return warning(
            "disk", message, "datasets, models and checkpoints pass through it; COX_CACHE_GIB limits the cache"
        )
    return ok("disk", message)


def check_limits() -> list[Finding]:
    """Look at what ranks run out of first: open files, and shared memory between local GPUs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = ok("open files", f"at most {soft}")
    if soft != resource.RLIM_INFINITY and soft < min(_GOOD_OPEN_FILES, hard):
        files = warning("open files", f"at most {soft}", f"raise it: `ulimit -n {min(_GOOD_OPEN_FILES, hard)}`")
    shm = Path("/dev/shm")  # noqa: S108 (looked at, not used)
    if not shm.is_dir():
        return [files, skipped("shared memory", "no /dev/shm")]
    size_bytes = shutil.disk_usage(shm).total
    text = f"{shm} has {size_bytes / GIB:.1f} GiB"
    if size_bytes < _GOOD_SHM_BYTES:
        fix = "NCCL keeps buffers there: give a container more (`--shm-size 1g`)"
        return [files, warning("shared memory", text, fix)]
    return [files, ok("shared memory", text)]


def check_devices(choice: DeviceChoice, slots: int | None) -> tuple[Finding, tuple[DeviceInfo, ...]]:
    """List what the node would offer."""
    try:
        devices = discover_devices(choice, slots)
    except NoSuchDevice as error:
        return failed("devices", str(error), "see that `nvidia-smi` lists the GPUs"), ()
    first = devices[0]
    return ok("devices", f"{len(devices)} slots: {first.kind.value}, {first.name}"), devices


def check_address(server_url: str, address: str | None) -> tuple[Finding, str | None]:
    """Find where peers would reach this node's ranks."""
    try:
        found = address or find_address(server_url)
    except (OSError, ValueError) as error:
        return failed("address", f"no way to {server_url}: {error}", "name this machine's address with --address"), None
    interface = find_interface(found)
    if interface is None:
        return failed("address", f"no interface here has {found}", "name one that has, with --address"), None
    return ok("address", f"{found} on {interface}"), found


def check_collectives(devices: Sequence[DeviceInfo], address: str) -> Finding:
    """Let two ranks of this machine compute and sum a number over the address that peers would use."""
    gpus = [device for device in devices if device.kind is DeviceKind.CUDA]
    is_on_gpus = len(gpus) >= _NUM_RANKS  # NCCL wants a device for each rank
    with closing_port(address) as port:
        env = os.environ | {
            "WORLD_SIZE": str(_NUM_RANKS), "LOCAL_WORLD_SIZE": str(_NUM_RANKS), "MASTER_ADDR": address,
            "MASTER_PORT": str(port),
        }  # fmt: skip
        interface = find_interface(address)
        if interface is not None:
            env = {"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": interface} | env
        command = [sys.executable, "-m", "workers.runtime.probe", *([] if is_on_gpus else ["--on-cpu"])]
        answers = _run_ranks(command, env)
    backend = "nccl" if is_on_gpus else "gloo"
    for answer in answers:
        if isinstance(answer, str):
            return _no_answer(backend, answer, address)
    seen = [answer for answer in answers if isinstance(answer, dict)]
    if is_on_gpus and any(answer["device"] != "cuda" for answer in seen):
        message = f"NVML finds {len(gpus)} GPUs, but torch {seen[0]['torch']} cannot use them"
        return failed("collectives", message, "install the build of torch that suits the driver")
    if not all(answer["computes"] and answer["sums"] for answer in seen):
        return failed(
            "collectives", f"{backend} gives a wrong sum: {seen}", "test the memory and devices of this machine"
        )
    text = f"{backend}, {_NUM_RANKS} ranks over {address}, torch {seen[0]['torch']}, {seen[0]['seconds']} s"
    return ok("collectives", text)


@contextmanager
def closing_port(address: str) -> Iterator[int]:
    """Hold a free port of ``address`` for the ranks' meeting."""
    held = RendezvousPort(address)
    try:
        yield held.port
    finally:
        held.release()


def _run_ranks(command: list[str], env: dict[str, str]) -> list[dict[str, object] | str]:
    """Run the ranks side by side; each answers what it printed, or its last words."""
    ranks = [
        subprocess.Popen(
            command, env=env | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(_NUM_RANKS)
    ]  # fmt: skip
    answers: list[dict[str, object] | str] = []
    for process in ranks:
        with closing(process.stdout), closing(process.stderr):  # type: ignore[type-var]
            try:
                output, errors = process.communicate(timeout=_COLLECTIVE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                answers.append(f"no answer within {_COLLECTIVE_TIMEOUT_S:.0f} s")
                continue
        lines = output.strip().splitlines()
        answers.append(json.loads(lines[-1]) if process.returncode == 0 and lines else errors.strip()[-_LAST_WORDS:])
    return answers


def _no_answer(backend: str, words: str, address: str) -> Finding:
    lines = words.splitlines() or ["no reason given"]
    reason = next((line.strip() for line in reversed(lines) if "Error" in line), lines[-1])
    if "ModuleNotFoundError" in reason:
        return failed("collectives", reason, "install the worker's packages: pip install 'coxswain[worker]'")
    message = f"two ranks do not reach each other by {backend} over {address}: {reason}"
    return failed("collectives", message, "let ranks use any port of that address, or name another with --address")
