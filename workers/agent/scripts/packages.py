"""Virtual environments of scripts: one per set of requirements, kept on the node for the next job with the same ones.

A directory's name is the digest of all that shapes its content: the requirements, the interpreter, whether the node's
packages are seen, and what pip was told. It is built by the job's user in place (environments cannot be moved), then
given to the agent's user, so that no script changes what another one imports. ``.ready`` makes it exist.

The node's packages come by a ``.pth`` file behind the environment's own: what the requirements pin wins.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import sysconfig
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workers.agent.scripts.accounts import end_processes
from workers.agent.scripts.errands import Errand, ErrandFailed, NotStartable, Runner, last_line

_CREATE_TIMEOUT_S = 120.0
_INSTALL_TIMEOUT_S = 1800.0
_LIMIT_BYTES = 20 << 30
_KEPT = 16
_READY = ".ready"
_PRINT_PACKAGE_FOLDERS = "import sys; print(*(path for path in sys.path if path.endswith('-packages')), sep='\\n')"
# The environment is shared by its digest: a line that reads the job's own files or passwords would break that.
_LOCAL_LINE = re.compile(r"^\s*(-r|--requirement|-c|--constraint|-e|--editable|file:|\.{1,2}/|/)|@\s*file:|://[^/\s]*@")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What an environment is to contain."""

    requirements: str
    system_packages: bool
    pip_env: Mapping[str, str]
    """Variables that begin with PIP_: the operator's, and the job's own."""

    def digest(self, python: Path) -> str:
        """Name the environment."""
        parts = [self.requirements, str(self.system_packages), str(python), sysconfig.get_python_version()]
        text = json.dumps([*parts, sorted(self.pip_env.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:32]


class Environments:
    """The environments of one node. Safe to use from several threads."""

    def __init__(self, root: Path, python: Path) -> None:
        self._root = root
        self._python = python
        self._lock = threading.Lock()
        self._building: dict[str, threading.Lock] = {}
        self._in_use: dict[str, int] = {}

    @contextmanager
    def using(self, wanted: Wanted, runner: Runner, env: Mapping[str, str], mark: str) -> Iterator[Path]:
        """Give the interpreter of an environment with these packages, building it if need be.

        Raises:
            NotStartable: the requirements cannot be installed.
            Interrupted: nobody wants it any more.
        """
        digest = wanted.digest(self._python)
        with self._lock:
            self._in_use[digest] = self._in_use.get(digest, 0) + 1
            building = self._building.setdefault(digest, threading.Lock())
        try:
            folder = self._root / digest
            with building:
                if not (folder / _READY).exists():
                    self._build(folder, wanted, runner, env, mark)
                os.utime(folder)
            yield folder / "bin" / "python"
        finally:
            with self._lock:
                self._in_use[digest] -= 1

    def _build(self, folder: Path, wanted: Wanted, runner: Runner, env: Mapping[str, str], mark: str) -> None:
        _check_lines(wanted.requirements)
        self._make_room()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o755, parents=True)
        try:
            runner.account.give(folder)
            self._install(folder, wanted, runner, env)
            end_processes(runner.account, mark)  # nothing of the build may write here any more
            _take_over(folder)
            (folder / _READY).touch()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _install(self, folder: Path, wanted: Wanted, runner: Runner, env: Mapping[str, str]) -> None:
        python = str(self._python)
        create = (python, "-m", "venv", "--without-pip", str(folder))
        look = (python, "-c", _PRINT_PACKAGE_FOLDERS)
        requirements = folder / "requirements.txt"
        try:
            runner.run(Errand(create, env, folder, _CREATE_TIMEOUT_S, _LIMIT_BYTES))
            requirements.write_text(wanted.requirements, encoding="utf-8")
            requirements.chmod(0o644)
            if wanted.system_packages:
                _see_packages_of_node(folder, runner.run(Errand(look, env, folder, _CREATE_TIMEOUT_S, _LIMIT_BYTES)))
            install = (
                python, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--no-input", "--quiet",
                "--disable-pip-version-check", "--no-cache-dir", "--requirement", str(requirements),
            )  # fmt: skip
            runner.run(Errand(install, {**env, **wanted.pip_env}, folder, _INSTALL_TIMEOUT_S, _LIMIT_BYTES))
        except ErrandFailed as error:
            raise NotStartable(f"the requirements cannot be installed: {_explain(error)}") from error

    def _make_room(self) -> None:
        """Remove the environments used longest ago beyond those that are kept; what a job uses stays."""
        self._root.mkdir(parents=True, exist_ok=True)
        with self._lock:
            idle = [path for path in self._root.iterdir() if not self._in_use.get(path.name)]
        idle.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in idle[_KEPT - 1 :]:
            log.info("removing the environment %s", path.name)
            shutil.rmtree(path, ignore_errors=True)


def _check_lines(requirements: str) -> None:
    for line in requirements.splitlines():
        if _LOCAL_LINE.search(line):
            raise NotStartable(
                f"the requirements line {line.strip()[:200]!r} reads other files or carries a password: name packages "
                "and versions; credentials go into a secret whose variable begins with PIP_"
            )


def _see_packages_of_node(folder: Path, package_folders: str) -> None:
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "node-packages.pth").write_text(package_folders + "\n", encoding="utf-8")


def _take_over(folder: Path) -> None:
    """Make everything the agent's, unwritable by others."""
    if os.geteuid() != 0:
        return
    for directory, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            path = Path(directory, name)
            os.lchown(path, 0, 0)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _explain(error: ErrandFailed) -> str:
    lines = [line.strip() for line in error.output.splitlines()]
    wrong = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return "; ".join(wrong)[:600] or last_line(error.output) or str(error)
