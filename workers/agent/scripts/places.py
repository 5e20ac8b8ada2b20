"""Where a script's things lie in its allocation, and who may reach them.

The allocation's directory is the agent's; the job's group may pass through and nobody else. What the agent reads while
the script runs (events, logs) are files of the script in directories of the agent, so that none can be replaced by a
link.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import workers
from workers.agent.launch import AllocationPaths
from workers.agent.scripts.accounts import Account

_SDK_FILES = ("__init__.py", "run.py", "run_files.py", "run_stop.py")


@dataclass(frozen=True)
class Places:
    """The directories of one script."""

    paths: AllocationPaths

    @property
    def source(self) -> Path:
        return self.paths.root / "source"

    @property
    def outputs(self) -> Path:
        """``$COX_OUTPUT``."""
        return self.paths.root / "artifacts"

    @property
    def home(self) -> Path:
        return self.paths.root / "home"

    @property
    def shared(self) -> Path:
        """Files of the agent that the script reads: secrets, credentials, the launch's configuration."""
        return self.paths.root / "shared"

    @property
    def sdk(self) -> Path:
        """On the script's path: the package ``coxswain``, and nothing else of ours."""
        return self.paths.root / "sdk"

    @property
    def inputs(self) -> Path:
        return self.paths.root / "inputs"

    @property
    def private(self) -> Path:
        """The agent's alone."""
        return self.paths.root / "private"

    @property
    def failure(self) -> Path:
        """Where torch's agent writes which rank failed."""
        return self.shared / "failure.json"

    @property
    def redactions(self) -> Path:
        """What is masked in the logs, for the agent's next life."""
        return self.private / "redactions.json"

    def make(self, account: Account, ranks: range) -> None:
        """Make every directory, and the files that are followed."""
        events, checkpoints = self.paths.output / "events", self.paths.output / "checkpoints"
        logs = self.paths.log(0, "stdout").parent
        own = (self.source, self.outputs, self.home, checkpoints)
        for folder in (self.paths.output, events, logs, self.shared, self.sdk, self.inputs, self.private, *own):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o750)
        self.private.chmod(0o700)
        files = [self.paths.events(rank) for rank in ranks]
        files += [self.paths.log(rank, stream) for rank in ranks for stream in ("stdout", "stderr")]
        for file in files:
            file.touch(mode=0o640)
        account.give(*own, *files)
        self.paths.root.chmod(0o710)
        account.share(self.paths.root, self.paths.output, events, logs, self.shared, self.sdk, self.inputs)

    def install_sdk(self, account: Account) -> None:
        """Copy the package that scripts import; it needs the standard library only."""
        origin = Path(workers.__file__).parents[1] / "coxswain"
        package = self.sdk / "coxswain"
        package.mkdir(exist_ok=True)
        for name in _SDK_FILES:
            shutil.copyfile(origin / name, package / name)
        self.share_tree(account, package)

    def share_tree(self, account: Account, folder: Path) -> None:
        """Let the script read a directory of ours with all it holds."""
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o750 if path.is_dir() else 0o640)
            account.share(path)

    def share_input(self, account: Account, role: str, origin: Path) -> Path:
        """Show the script one set of the node's cache, by hard links: the cache itself is closed to it."""
        target = self.inputs / role
        for path in sorted(origin.rglob("*")):
            shown = target / path.relative_to(origin)
            if path.is_dir() or shown.exists():
                continue
            shown.parent.mkdir(parents=True, exist_ok=True)
            try:
                shown.hardlink_to(path)
            except OSError:  # another file system, or one without hard links
                shutil.copyfile(path, shown)
                shown.chmod(0o444)
        target.mkdir(exist_ok=True)
        for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
            folder.chmod(0o750)
            account.share(folder)
        return target
