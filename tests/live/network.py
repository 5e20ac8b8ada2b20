"""Several hosts on one machine: network namespaces on a bridge, each with an address of its own.

    this process -- bridge (gateway address, the control plane listens there)
                      |-- veth -- namespace of n1
                      |-- veth -- namespace of n2

Nothing leads out of the bridge: the namespaces have no route but to their own subnet, and nothing is forwarded. Where
namespaces are not to be had (no root, or a kernel without them) a host is an address of the loopback network, on which
agents run as separate nodes all the same, but which cannot be cut or slowed.
"""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

# RFC 2544: reserved for benchmarks of network devices, so no real network is shadowed.
_SUBNET = "198.18.{number}"
_TCP_RETRIES = "5"
"""Retransmissions until a connection counts as broken: about ten seconds, not a quarter of an hour."""


def _ip(*arguments: str, check: bool = True) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


@cache
def has_namespaces() -> bool:
    """Tell whether this process may make network namespaces and join them by a bridge; tried, not guessed."""
    if os.geteuid() != 0:
        return False
    try:
        network = Network()
        network.add_host("probe")
        network.close()
    except (AssertionError, FileNotFoundError):
        return False
    return True


@dataclass(frozen=True)
class Host:
    """One machine as its agent sees it."""

    name: str
    address: str
    namespace: str | None = None
    link: str | None = None
    """The bridge's end of its cable."""

    def command(self, command: Sequence[str]) -> list[str]:
        """The command that runs ``command`` there; it becomes it, so signals reach it under one process id."""
        if self.namespace is None:
            return list(command)
        return ["nsenter", f"--net=/run/netns/{self.namespace}", *command]

    def pids(self) -> list[int]:
        """Every process of the host."""
        assert self.namespace is not None
        listed = subprocess.run(
            ["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=True
        ).stdout
        return [int(pid) for pid in listed.split()]

    def freeze(self) -> None:
        """Stop everything, as a host does that swaps or loses its disk."""
        for _ in range(2):  # once more for what was being forked
            for pid in self.pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let everything go on."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def isolate(self, *, is_isolated: bool) -> None:
        """Drop every packet to and from other isolated hosts, in silence; the control plane stays in reach."""
        assert self.link is not None
        _ip("link", "set", "dev", self.link, "type", "bridge_slave", "isolated", "on" if is_isolated else "off")

    def cut(self, *, is_cut: bool) -> None:
        """Pull the cable, or plug it in again: neither other hosts nor the control plane are in reach."""
        assert self.link is not None
        _ip("link", "set", "dev", self.link, "down" if is_cut else "up")

    def kill(self) -> None:
        """End every process at once, as a loss of power does."""
        for pid in self.pids():
            with suppress(ProcessLookupError):  # its parent's death took it along
                os.kill(pid, signal.SIGKILL)

    def slow_down(self, *shape: str) -> None:
        """Shape what the host receives: arguments of tc after ``root``; none puts it back."""
        assert self.link is not None
        action = ["replace", "dev", self.link, "root", *shape] if shape else ["del", "dev", self.link, "root"]
        done = subprocess.run(["tc", "qdisc", *action], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"tc {' '.join(action)}: {done.stderr}"


class Network:
    """A bridge with hosts on it; ``close`` removes all of it."""

    def __init__(self) -> None:
        self._tag = f"cx{os.getpid() % 100_000}"
        self._subnet = _SUBNET.format(number=os.getpid() % 254 + 1)
        self._hosts: list[Host] = []
        self.gateway = f"{self._subnet}.1"
        """The address of this process' side: what the hosts reach the control plane at."""
        _ip("link", "add", self._tag, "type", "bridge")
        _ip("addr", "add", f"{self.gateway}/24", "dev", self._tag)
        _ip("link", "set", self._tag, "up")

    def add_host(self, name: str) -> Host:
        """Make a namespace and plug it in."""
        number = len(self._hosts) + 2
        namespace, outer, inner = f"{self._tag}-{name}", f"{self._tag}o{number}", f"{self._tag}i{number}"
        host = Host(name, f"{self._subnet}.{number}", namespace, outer)
        self._hosts.append(host)
        _ip("netns", "add", namespace)
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", namespace)
        _ip("link", "set", outer, "master", self._tag, "up")
        _ip("-n", namespace, "link", "set", inner, "name", "eth0")
        _ip("-n", namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", namespace, "link", "set", "eth0", "up")
        _ip("-n", namespace, "link", "set", "lo", "up")
        write = f"echo {_TCP_RETRIES} > /proc/sys/net/ipv4/tcp_retries2"
        subprocess.run(host.command(["sh", "-c", write]), check=True)
        return host

    def close(self) -> None:
        """Unplug and remove everything."""
        for host in self._hosts:
            _ip("link", "del", str(host.link), check=False)
            _ip("netns", "del", str(host.namespace), check=False)
        self._hosts.clear()
        _ip("link", "del", self._tag, check=False)


class LoopbackNetwork:
    """Hosts that are addresses of the loopback network."""

    gateway = "127.0.0.1"

    def __init__(self) -> None:
        self._count = 0

    def add_host(self, name: str) -> Host:
        """Name one more address; Linux answers on all of 127.0.0.0/8."""
        self._count += 1
        return Host(name, f"127.0.0.{self._count + 1}")

    def close(self) -> None:
        """Nothing was made."""


def open_network() -> Network | LoopbackNetwork:
    """Make the best network this machine gives."""
    return Network() if has_namespaces() else LoopbackNetwork()
