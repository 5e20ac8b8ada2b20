"""The ranks of one allocation on this node: started warm or cold, watched, signalled together."""

import logging
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from workers.agent.atomic import write_atomically
from workers.agent.launch import LaunchPlan, RankPlan, cold_command, fork_request, needs_cold_start
from workers.agent.outcome import RankExit
from workers.agent.processes import ProcessRecord, read_start_ticks, signal_group
from workers.agent.warm import ForkFailed, ForkServerProcess, WarmRanks, new_request_id

log = logging.getLogger(__name__)


class Gang:
    """Processes of one allocation. ``on_change`` is called, from any thread, when a rank ends."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._lock = threading.Lock()
        self._live: dict[int, int] = {}
        """Rank to pid."""
        self._started: list[ProcessRecord] = []
        self._exits: list[RankExit] = []
        self._signalled: set[int] = set()
        self._num_ranks = 0
        self.is_warm = False

    def start(self, plan: LaunchPlan, warm: WarmRanks, *, warm_wait_s: float) -> None:
        """Write the run file and start every rank, from the fork server if one can be had.

        Raises:
            OSError: a process cannot be started; those that were are killed.
        """
        _prepare_files(plan)
        self._num_ranks = len(plan.ranks)
        is_cold = plan.command is not None or needs_cold_start(plan.ranks[0].env, warm.env)
        server = None if is_cold else warm.server(warm_wait_s)
        try:
            self.is_warm = server is not None and self._start_warm(plan, server)
            if not self.is_warm:
                for rank in plan.ranks:
                    self._start_cold(plan, rank)
        except OSError:
            self.signal(signal.SIGKILL)
            raise

    @property
    def records(self) -> tuple[ProcessRecord, ...]:
        """What was started, for the orphan hunt after a restart."""
        with self._lock:
            return tuple(self._started)

    @property
    def live(self) -> dict[int, int]:
        """Ranks that run, to their pids."""
        with self._lock:
            return dict(self._live)

    @property
    def exits(self) -> tuple[RankExit, ...]:
        """Ranks that ended, in order."""
        with self._lock:
            return tuple(self._exits)

    @property
    def is_over(self) -> bool:
        """Tell whether no rank runs any more."""
        with self._lock:
            return len(self._exits) >= self._num_ranks

    @property
    def has_failed(self) -> bool:
        """Tell whether a rank ended badly, so that its peers wait for it in vain."""
        with self._lock:
            return any(rank_exit.code != 0 for rank_exit in self._exits)

    def signal(self, number: signal.Signals) -> None:
        """Signal the process group of every rank that lives."""
        with self._lock:
            live = dict(self._live)
            self._signalled |= live.keys()
        for pid in live.values():
            signal_group(pid, number)

    def _start_warm(self, plan: LaunchPlan, server: ForkServerProcess) -> bool:
        """Fork every rank; False when the server would not and nothing runs."""
        for index, rank in enumerate(plan.ranks):
            try:
                pid = server.fork(fork_request(plan, rank, new_request_id()), self._exit_callback(rank.rank))
            except ForkFailed as error:
                if index:  # some ranks run: they and the rest must be of one kind and one life
                    raise OSError(f"rank {rank.rank} was not forked: {error}") from error
                log.warning("starting cold: %s", error)
                return False
            self._register(rank.rank, pid)
        return True

    def _start_cold(self, plan: LaunchPlan, rank: RankPlan) -> None:
        started: threading.Event = threading.Event()
        process: list[subprocess.Popen[bytes]] = []
        errors: list[OSError] = []

        def run() -> None:
            # The kernel ends the rank when the thread that started it ends: this one stays until the rank is gone.
            try:
                with rank.stdout.open("ab") as stdout, rank.stderr.open("ab") as stderr:
                    process.append(
                        subprocess.Popen(
                            cold_command(plan),
                            env=rank.env,
                            cwd=plan.cwd,
                            stdin=subprocess.DEVNULL,
                            stdout=stdout,
                            stderr=stderr,
                            start_new_session=True,
                        )
                    )
            except OSError as error:
                errors.append(error)
                return
            finally:
                started.set()
            code = process[0].wait()
            signal_group(process[0].pid, signal.SIGKILL)  # what the rank started must not outlive it
            registered.wait()
            self._exit_callback(rank.rank)(code)

        registered = threading.Event()
        threading.Thread(target=run, name=f"cold-rank-{rank.rank}", daemon=True).start()
        started.wait()
        if errors:
            raise errors[0]
        self._register(rank.rank, process[0].pid)
        registered.set()

    def _register(self, rank: int, pid: int) -> None:
        start_ticks = read_start_ticks(pid)
        with self._lock:
            if start_ticks is not None:  # None: it has ended already, and nobody will need to find it
                self._started.append(ProcessRecord(rank=rank, pid=pid, start_ticks=start_ticks))
            if all(rank_exit.rank != rank for rank_exit in self._exits):
                self._live[rank] = pid

    def _exit_callback(self, rank: int) -> Callable[[int], None]:
        def on_exit(code: int) -> None:
            with self._lock:
                self._live.pop(rank, None)
                self._exits.append(RankExit(rank, code, was_signalled_by_agent=rank in self._signalled))
            self._on_change()

        return on_exit


def _prepare_files(plan: LaunchPlan) -> None:
    """Make every directory and file the ranks need; where they write belongs to the user they run as."""
    writable = (Path(plan.run_file.output_dir), Path(plan.run_file.cache_dir))
    for directory in (plan.cwd, *writable, *(rank.stdout.parent for rank in plan.ranks)):
        directory.mkdir(parents=True, exist_ok=True)
    for rank in plan.ranks:
        rank.stdout.touch()
        rank.stderr.touch()
    if plan.user is not None:
        for directory in writable:
            shutil.chown(directory, plan.user)
    write_atomically(plan.run_file_path, plan.run_file.model_dump_json())
