"""Where a stack keeps its data, and what lies where inside that folder."""

import os
from dataclasses import dataclass
from pathlib import Path

from coxswain.stack.errors import StackError

SYSTEM_DATA_DIR = Path("/var/lib/coxswain")


def default_data_dir() -> Path:
    """The folder used when none is named: COX_DATA_DIR, as root a system folder, else the user's data folder.

    Root's home is closed to other accounts, and Postgres runs as one of them.
    """
    named = os.environ.get("COX_DATA_DIR")
    if named:
        return Path(named).expanduser().absolute()
    if os.geteuid() == 0:
        return SYSTEM_DATA_DIR
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser().absolute() / "coxswain"


@dataclass(frozen=True)
class StackPaths:
    """The layout of one data directory."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held (flock) by the supervisor while it lives."""
        return self.root / "stack.lock"

    @property
    def state(self) -> Path:
        """What runs, for `cox status`, `cox down` and the next start."""
        return self.root / "stack.json"

    @property
    def secrets(self) -> Path:
        """Generated passwords and keys."""
        return self.root / "secrets"

    @property
    def logs(self) -> Path:
        """One rotated log per process."""
        return self.root / "logs"

    @property
    def postgres(self) -> Path:
        """The embedded database."""
        return self.root / "postgres"

    @property
    def redis(self) -> Path:
        """The embedded broker's configuration."""
        return self.root / "redis"

    @property
    def storage(self) -> Path:
        """Datasets, checkpoints, models."""
        return self.root / "storage"

    @property
    def agent(self) -> Path:
        """The embedded agent's spool, cache and runs."""
        return self.root / "agent"

    def create(self) -> None:
        """Make the folders; only their owner reads them, but the database's account may pass through the root.

        Raises:
            StackError: a folder cannot be made.
        """
        try:
            if not self.root.exists():
                self.root.mkdir(parents=True)
                self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
            for folder in (self.secrets, self.logs, self.storage, self.agent):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StackError(
                f"The data directory {self.root} cannot be used: {error}. Name another with --data-dir."
            ) from error
