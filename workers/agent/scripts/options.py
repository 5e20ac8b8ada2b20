"""The operator's options about scripts, on the agent's command line."""

import argparse
from pathlib import Path

from workers.agent.scripts.results import OutputLimits
from workers.agent.settings import GIB, ScriptSettings
from workers.contract.scripting import GIT_PROTOCOLS


def add_script_options(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    group = parser.add_argument_group("script jobs")
    group.add_argument(
        "--scripts-as-agent",
        action="store_true",
        help="where the agent is no root: run scripts as its own user, who can read all that it can, its token too",
    )
    group.add_argument(
        "--script-python", type=Path, metavar="FILE", help="interpreter of scripts (default: the agent's)"
    )
    group.add_argument(
        "--script-uids", default="64000-64999", metavar="A-B", help="user ids that nobody else has, one for each script"
    )
    group.add_argument(
        "--git-protocol", action="append", metavar="NAME", help=f"may be repeated (default: {', '.join(GIT_PROTOCOLS)})"
    )
    group.add_argument("--output-gib", type=float, default=20.0, metavar="N", help="most that a script may leave")


def read_script_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> ScriptSettings:
    """Take them; ends the program where one is wrong."""
    first, _, last = options.script_uids.partition("-")
    if not (first.isdigit() and last.isdigit() and 0 < int(first) <= int(last)):
        parser.error("--script-uids must be two numbers, such as 64000-64999")
    defaults = ScriptSettings()
    return ScriptSettings(
        python=options.script_python or defaults.python,
        uids=range(int(first), int(last) + 1),
        as_agent=options.scripts_as_agent,
        git_protocols=tuple(options.git_protocol or GIT_PROTOCOLS),
        limits=OutputLimits(max_bytes=int(options.output_gib * GIB)),
    )
