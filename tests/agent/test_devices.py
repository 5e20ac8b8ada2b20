"""Slots, addresses and ports."""

import socket

import pytest

from workers.agent.devices import (
    NoSuchDevice,
    RendezvousPort,
    discover_devices,
    find_address,
    find_interface,
)
from workers.contract.node_api import DeviceKind


def test_cpu_slots_are_numbered_and_share_the_memory() -> None:
    devices = discover_devices("cpu", 3)
    assert [device.index for device in devices] == [0, 1, 2]
    assert {device.kind for device in devices} == {DeviceKind.CPU}
    assert devices[0].memory_bytes > 0
    assert devices[0].name


def test_gpus_are_listed_or_their_absence_is_told() -> None:
    devices = discover_devices("auto", None)
    if devices[0].kind is DeviceKind.CUDA:
        with pytest.raises(NoSuchDevice, match="this machine has"):
            discover_devices("cuda", len(devices) + 1)
    else:
        with pytest.raises(NoSuchDevice, match="NVML finds no"):
            discover_devices("cuda", None)


def test_address_is_the_one_towards_the_server() -> None:
    assert find_address("http://127.0.0.1:8000") == "127.0.0.1"
    assert find_interface("127.0.0.1") == "lo"
    assert find_interface("203.0.113.9") is None


def test_held_port_is_given_to_nobody_but_rank_0() -> None:
    held = RendezvousPort("127.0.0.1")
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", held.port))
    with socket.socket() as store:  # as torch's store does
        store.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        store.bind(("0.0.0.0", held.port))
        store.listen()
        with socket.create_connection(("127.0.0.1", held.port), timeout=5) as peer:
            assert peer.getpeername()[1] == held.port
    held.release()


def test_taken_ports_are_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="no free port"):
            RendezvousPort("127.0.0.1", [port])
