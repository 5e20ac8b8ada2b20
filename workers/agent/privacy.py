"""What other users of the machine may reach of the agent's directory, scripts above all.

As root the agent lets everybody pass through the directory itself, because each script has a user of its own and works
below it; what lies in it is closed, except to the user that the operator has named for ranks.
"""

import os
import pwd
from pathlib import Path

from workers.agent.settings import AgentSettings

_PASS_THROUGH = 0o711


def close_to_others(settings: AgentSettings) -> None:
    """Set the modes of the agent's directories; they are made where they are missing."""
    if os.geteuid() != 0:
        return
    environments = settings.data_dir / "environments"
    for folder in (settings.data_dir, settings.allocations_dir, environments):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(_PASS_THROUGH)
    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    close_directory(settings.cache_dir, settings.rank_user)


def close_directory(folder: Path, rank_user: str | None) -> None:
    """Keep a directory for the agent and, where ranks have a user of their own, for that one's group."""
    if os.geteuid() != 0:
        return
    if rank_user is None:
        folder.chmod(0o700)
    else:
        os.chown(folder, -1, pwd.getpwnam(rank_user).pw_gid)
        folder.chmod(0o750)
