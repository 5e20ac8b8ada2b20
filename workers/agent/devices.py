"""What this node has to offer: slots, an address, a free port, and how busy it is."""

import os
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pynvml

from workers.agent.settings import DeviceChoice
from workers.contract.node_api import DeviceInfo, DeviceKind

# Below Linux' default range for outgoing connections, so that none of those takes a port between claim and launch.
_RENDEZVOUS_PORTS = range(20_000, 32_000)


class NoSuchDevice(ValueError):  # noqa: N818  named for what happened
    """The node was told to offer devices that it does not have."""


@dataclass(frozen=True)
class HostUsage:
    """How busy the machine is."""

    cpu_pct: float
    memory_used_bytes: int
    disk_free_bytes: int


def discover_devices(choice: DeviceChoice, slots: int | None) -> tuple[DeviceInfo, ...]:
    """List the slots of this node: its GPUs by NVML, or its CPU cores.

    Raises:
        NoSuchDevice: GPUs were demanded and NVML finds none, or fewer than ``slots``.
    """
    gpus = () if choice == "cpu" else _list_gpus()
    if choice == "cuda" and not gpus:
        raise NoSuchDevice(
            "--device cuda: NVML finds no NVIDIA GPU on this machine; use --device cpu or install a driver"
        )
    if not gpus:
        return _list_cpus(slots or os.cpu_count() or 1)
    if slots is not None and slots > len(gpus):
        raise NoSuchDevice(f"--slots {slots}: this machine has {len(gpus)} GPUs")
    return gpus[:slots]


def _list_gpus() -> tuple[DeviceInfo, ...]:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()  # no driver: a machine without GPUs
    try:
        return tuple(_describe_gpu(index) for index in range(pynvml.nvmlDeviceGetCount()))
    finally:
        pynvml.nvmlShutdown()


def _describe_gpu(index: int) -> DeviceInfo:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    name = pynvml.nvmlDeviceGetName(handle)
    return DeviceInfo(
        index=index,
        kind=DeviceKind.CUDA,
        name=name if isinstance(name, str) else name.decode(),
        memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
    )


def _list_cpus(slots: int) -> tuple[DeviceInfo, ...]:
    share_bytes = psutil.virtual_memory().total // slots
    name = _cpu_name()
    return tuple(
        DeviceInfo(index=index, kind=DeviceKind.CPU, name=name, memory_bytes=share_bytes) for index in range(slots)
    )


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return os.uname().machine


def find_address(server_url: str) -> str:
    """The address of this machine on the way to the server: peers can most likely reach it there."""
    parts = urlsplit(server_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    family, _, _, _, target = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(target)  # sends nothing: it only chooses a route
        return str(probe.getsockname()[0])


def find_interface(address: str) -> str | None:
    """The network interface that carries ``address``; gloo and NCCL are told to use it."""
    for name, entries in psutil.net_if_addrs().items():
        if any(entry.address == address for entry in entries):
            return name
    return None


class RendezvousPort:
    """A port held for rank 0 from the claim until its ranks have ended.

    The socket is bound with SO_REUSEADDR but never listens: rank 0's store binds the same port beside it, while
    nobody who asks for any free port is given it.
    """

    def __init__(self, address: str, candidates: Sequence[int] = _RENDEZVOUS_PORTS) -> None:
        family = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM)[0][0]
        for port in random.sample(candidates, k=min(64, len(candidates))):
            held = socket.socket(family, socket.SOCK_STREAM)
            try:
                if _is_bindable(family, address, port):
                    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    held.bind((address, port))
                    self._socket, self.port = held, port
                    return
            except OSError:
                pass  # taken between the two binds: try another
            held.close()
        raise OSError(f"no free port on {address} for the rendezvous")

    def release(self) -> None:
        """Let the port go."""
        self._socket.close()


def _is_bindable(family: int, address: str, port: int) -> bool:
    """Bind without SO_REUSEADDR, which fails if anybody else holds or listens on the port."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True


def measure_host(data_dir: Path) -> HostUsage:
    """CPU since the last call, memory and disk now."""
    return HostUsage(
        cpu_pct=psutil.cpu_percent(interval=None),
        memory_used_bytes=psutil.virtual_memory().used,
        disk_free_bytes=psutil.disk_usage(str(data_dir)).free,
    )
