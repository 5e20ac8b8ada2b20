"""Interpreter and code where every user of the machine can read them, wherever they really lie (root's home, say).

A mount namespace of its own shows them to one process and its children; nothing else changes.
"""

import shlex
import sys
from pathlib import Path

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
