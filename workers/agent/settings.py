"""What the agent is told when it starts, and the times it keeps."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from workers.agent.scripts.results import OutputLimits
from workers.contract.scripting import GIT_PROTOCOLS

DeviceChoice = Literal["auto", "cpu", "cuda"]

GIB = 1 << 30


@dataclass(frozen=True)
class Timing:
    """Intervals in seconds; tests shorten them."""

    poll_s: float = 0.1
    """Between two looks at the ranks' files."""
    coalesce_s: float = 0.1
    """At least this long between two metric batches of one rank."""
    progress_s: float = 0.5
    """At least this long between two progress reports."""
    state_save_s: float = 1.0
    """At most this often are marks written to disk: the server's mark corrects an old one."""
    kill_grace_s: float = 1.0
    """From SIGTERM to SIGKILL after a peer has died: no save can succeed then, only last words."""
    stop_wish_s: float = 300.0
    """How long a run that was asked to stop may take to save and end, before it gets SIGTERM."""
    stop_grace_s: float = 8.0
    """From SIGTERM to SIGKILL when no peer has died: what ranks get to save when the agent itself is asked to end."""
    look_s: float = 1.0
    """Between two looks at whether the ranks go on."""
    rank_stopped_s: float = 15.0
    """How long a rank may be stopped by a signal before its attempt is ended; 0 for ever."""
    rank_stalled_s: float = 120.0
    """How long ranks may be silent within a training step before their attempt is ended; 0 for ever."""
    drain_grace_s: float = 5.0
    """What the senders get after that."""
    warm_wait_s: float = 30.0
    """How long a launch waits for a fork server that is still importing: it is ahead of any cold start."""
    retry_first_s: float = 0.2
    retry_last_s: float = 5.0


@dataclass(frozen=True)
class ScriptSettings:
    """The operator's word on scripts."""

    python: Path = Path(sys.executable)
    """Runs scripts; every user must be able to."""
    uids: range = range(64_000, 65_000)
    as_agent: bool = False
    """Run scripts as the agent's own user where it is no root: they can then read all that it can."""
    git_protocols: tuple[str, ...] = GIT_PROTOCOLS
    limits: OutputLimits = field(default_factory=OutputLimits)


@dataclass(frozen=True)
class AgentSettings:
    """One node's configuration."""

    server_url: str
    name: str
    pool: str
    data_dir: Path
    join_token_file: Path | None = None
    address: str | None = None
    """Where peers reach this node's ranks; found out when None."""
    slots: int | None = None
    device: DeviceChoice = "auto"
    cache_bytes: int = 50 * GIB
    """Room for inputs."""
    runtime_cache_bytes: int = 50 * GIB
    """Room for what the runtime makes of them: tokenizers and packed data."""
    collective_timeout_s: float = 600.0
    """How long a rank waits for its peers in a collective."""
    rank_user: str | None = None
    """Unix user the ranks become when the agent runs as root."""
    forkserver_arguments: tuple[str, ...] = ()
    """Appended to the fork server's command line, such as another ``--entry``."""
    timing: Timing = field(default_factory=Timing)
    scripts: ScriptSettings = field(default_factory=ScriptSettings)

    @property
    def allocations_dir(self) -> Path:
        """One directory per allocation that is not yet accounted for."""
        return self.data_dir / "allocations"

    @property
    def cache_dir(self) -> Path:
        """Inputs by digest, and below it the runtime's own cache."""
        return self.data_dir / "cache"

    @property
    def runtime_cache_dir(self) -> Path:
        """Tokenizers and packed data."""
        return self.cache_dir / "runtime"
