"""Interpreter and code where every user of the machine can read them, wherever they really lie (root's home, say).

A mount namespace of its own shows them to one process and its children; nothing else changes.
"""

import os
import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.live.stack import LiveStack

_CHECKOUT = Path(__file__).parents[2]


def in_view(folder: Path, command: list[str], *, user: str | None = None) -> list[str]:
    """Return what runs ``command``, arguments of this Python, with the view in ``folder``; as ``user`` if given.

    Further arguments may be appended to what is returned.
    """
    places = {"python": sys.base_prefix, "packages": str(Path(sys.prefix) / "lib"), "code": str(_CHECKOUT)}
    for name in places:
        (folder / name).mkdir()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "venv" / "lib" / version / "site-packages"
    site.mkdir(parents=True)
    (folder / "venv" / "bin").mkdir()
    (folder / "venv" / "bin" / "python").symlink_to(folder / "python" / "bin" / version)
    (folder / "venv" / "pyvenv.cfg").write_text(f"home = {folder / 'python' / 'bin'}\n")
    (site / "tests.pth").write_text(f"{folder / 'code'}\n{folder / 'packages' / version / 'site-packages'}\n")
    binds = [f"mount --bind {shlex.quote(source)} {shlex.quote(str(folder / name))}" for name, source in places.items()]
    program = shlex.join([str(folder / "venv" / "bin" / "python"), *command])
    identity = f"setpriv --reuid={user} --regid=nogroup --clear-groups -- " if user is not None else ""
    return ["unshare", "--mount", "sh", "-ec", "; ".join([*binds, f'exec {identity}{program} "$@"']), "sh"]


def view_environment(folder: Path) -> dict[str, str]:
    """Return what an interpreter built with a shared library needs: it looks for it where it was installed."""
    return {"LD_LIBRARY_PATH": str(folder / "python" / "lib")}


def let_scripts_run(live: LiveStack, root: Path) -> None:
    """Show the hosts' agents an interpreter that users of scripts' own may read, or let scripts run as the agent."""
    for host in live.hosts:
        agent = live.specs[host.name]
        if os.geteuid() != 0:
            command = [*agent.command(), "--scripts-as-agent"]
            live.specs[host.name] = replace(agent, command=partial(list, command))
            continue
        view = root / f"view-{host.name}"
        view.mkdir()
        entered = host.command([])
        command = [*entered, *in_view(view, list(agent.command()[len(entered) + 1 :]))]
        live.specs[host.name] = replace(
            agent, command=partial(list, command), env={**agent.env, **view_environment(view)}
        )
