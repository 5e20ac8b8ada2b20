"""``python -m workers.agent``: run this machine as a node of the cluster."""

import argparse
import logging
import math
import os
import sys
from pathlib import Path

from workers.agent.celery_app import build_app, run_worker
from workers.agent.devices import NoSuchDevice
from workers.agent.identity import CannotJoin
from workers.agent.node import AlreadyRunning, Node
from workers.agent.scripts.options import add_script_options, read_script_options
from workers.agent.settings import GIB, AgentSettings, Timing

EXIT_USAGE = 64


def seconds(name: str, default: float, *, least: float = 0.0) -> float:
    """Read an environment variable as seconds.

    Raises:
        ValueError: it is no number, or below ``least``.
    """
    value = os.environ.get(name) or str(default)
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not least <= number < math.inf:
        raise ValueError(f"{name} must be a number of seconds, at least {least:g}, not {value!r}")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workers.agent", description="Run this machine as a node.")
    parser.add_argument("--server", required=True, metavar="URL", help="the control plane")
    parser.add_argument("--join-token-file", type=Path, metavar="FILE", help="needed until the node has joined")
    parser.add_argument("--name", required=True, help="unique in the cluster; a node that comes back is known by it")
    parser.add_argument("--pool", default="default")
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="node token, cache, running jobs")
    parser.add_argument(
        "--slots", type=int, metavar="N", help="how many ranks run here (default: all GPUs, or all cores)"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--address", metavar="A", help="where other nodes reach this one (default: towards the server)")
    parser.add_argument(
        "--cache-gib",
        type=float,
        default=os.environ.get("COX_CACHE_GIB", "50"),
        metavar="N",
        help="room for datasets and models (default: $COX_CACHE_GIB, else 50)",
    )
    parser.add_argument(
        "--runtime-cache-gib",
        type=float,
        default=os.environ.get("COX_RUNTIME_CACHE_GIB", "50"),
        metavar="N",
        help="room for tokenizers and packed data (default: $COX_RUNTIME_CACHE_GIB, else 50)",
    )
    parser.add_argument("--rank-user", metavar="NAME", help="Unix user the ranks run as, when the agent is root")
    parser.add_argument(
        "--forkserver-arg", action="append", default=[], metavar="ARG", help="passed on to workers.runtime.forkserver"
    )
    add_script_options(parser)
    return parser


def parse(argv: list[str] | None = None) -> AgentSettings:
    """Read the command line, and the environment for what it does not say.

    Raises:
        ValueError: a variable of the environment is no number.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.slots is not None and options.slots < 1:
        parser.error("--slots must be at least 1")
    return AgentSettings(
        server_url=options.server,
        name=options.name,
        pool=options.pool,
        data_dir=options.data_dir.absolute(),
        join_token_file=options.join_token_file,
        address=options.address,
        slots=options.slots,
        device=options.device,
        cache_bytes=int(options.cache_gib * GIB),
        runtime_cache_bytes=int(options.runtime_cache_gib * GIB),
        collective_timeout_s=seconds("COX_COLLECTIVE_TIMEOUT_S", 600.0, least=1.0),
        timing=Timing(
            stop_wish_s=seconds("COX_STOP_GRACE_S", Timing.stop_wish_s),
            rank_stopped_s=seconds("COX_RANK_STOPPED_S", Timing.rank_stopped_s),
            rank_stalled_s=seconds("COX_RANK_STALLED_S", Timing.rank_stalled_s),
        ),
        rank_user=options.rank_user,
        forkserver_arguments=tuple(options.forkserver_arg),
        scripts=read_script_options(parser, options),
    )


def main(argv: list[str] | None = None) -> int:
    """Join and serve; the exit code."""
    try:
        settings = parse(argv)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line per request drowns everything else
    try:
        node = Node(settings)
    except (AlreadyRunning, NoSuchDevice, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    try:
        app = build_app(node, node.join())
    except CannotJoin as error:
        node.stop()
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    run_worker(app, node)
    return 0


if __name__ == "__main__":
    sys.exit(main())
