"""One rank from its run file to its exit code.

The same function serves torchrun, a bare ``python -m workers.runtime`` and a child of the fork server:
everything it needs is in the run file and in torchrun's environment variables.
"""

import contextlib
import sys
import traceback
from pathlib import Path

from workers.contract.run import FailureKind, RunFile
from workers.runtime import device as devices
from workers.runtime.checkpoint import latest_checkpoint
from workers.runtime.context import JobEnd, RankContext, RunPaths
from workers.runtime.control import StopRequested, StopWatch
from workers.runtime.environment import RankEnvironment, prepare_environment, rank_environment
from workers.runtime.errors import EXIT_CODES, classify, describe, root_cause
from workers.runtime.events import EventWriter, FailureEvent, FinishedEvent
from workers.runtime.jobs import run_job
from workers.runtime.pulse import PulseWriter


def run_rank(run_file_path: Path) -> int:
    """Run this rank of the job described by a RunFile; return the process' exit code.

    The environment (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT), the working directory and
    the output streams are already this rank's own. Installs a SIGTERM handler: main thread only.

    Raises:
        pydantic.ValidationError: the file is not a RunFile.
    """
    return run_from(RunFile.model_validate_json(run_file_path.read_bytes()))


def run_from(run: RunFile) -> int:
    """Run this rank of ``run``; return the process' exit code: 0, or that of the failure's kind."""
    env = rank_environment()
    prepare_environment()  # a forked rank's environment is the agent's, not the one torch was imported with
    devices.limit_threads(env.local_world_size)
    paths = _paths(run, env)
    with EventWriter(paths.output, env.rank) as events:
        try:
            end = _run_connected(run, paths, env, events)
        except BaseException as error:  # noqa: BLE001  whatever it is, it must be written down before the process ends
            # The process group is left as it is: taking it down waits for peers, its end tells them.
            return _report_failure(error, events)
        events.emit(FinishedEvent, stopped=end.stopped, step=end.step)
        devices.leave_process_group()
        return 0


def _run_connected(run: RunFile, paths: RunPaths, env: RankEnvironment, events: EventWriter) -> JobEnd:
    early = StopWatch(paths.output, rank=env.rank, store=None)
    early.install_signal_handler()  # before anything slow: a SIGTERM from here on ends the run in order
    device = devices.pick_device(env.local_rank)
    store = devices.join_process_group(
        device, rank=env.rank, world_size=env.world_size, collective_timeout_s=run.collective_timeout_s
    )
    stop = StopWatch(paths.output, rank=env.rank, store=store)
    stop.take_over(early)
    with PulseWriter(paths.output, env.rank) as pulse:
        context = RankContext(env=env, device=device, paths=paths, events=events, pulse=pulse, stop=stop, store=store)
        try:
            return run_job(run.spec, context)
        except StopRequested:
            return JobEnd(step=0, stopped=True)


def _paths(run: RunFile, env: RankEnvironment) -> RunPaths:
    output = Path(run.output_dir)
    resume_from = Path(run.resume_from) if run.resume_from else None
    if env.restart_count:  # torchrun restarted the gang: what it has saved since counts, not where it began
        resume_from = latest_checkpoint(output) or resume_from
    return RunPaths(
        output=output,
        cache=Path(run.cache_dir),
        dataset=Path(run.dataset_dir) if run.dataset_dir else None,
        dataset_digest=run.dataset_digest,
        model=Path(run.model_dir) if run.model_dir else None,
        reference=Path(run.reference_dir) if run.reference_dir else None,
        resume_from=resume_from,
    )


def _report_failure(error: BaseException, events: EventWriter) -> int:
    cause = root_cause(error)
    kind = classify(cause)
    text = "".join(traceback.format_exception(error))
    shown = text if kind is not FailureKind.USER else ""
    message = describe(cause)
    sys.stderr.write(f"{shown}{message}\n")
    sys.stderr.flush()
    with contextlib.suppress(OSError):  # a full disk takes no event either: stderr and the exit code must do
        events.emit(FailureEvent, kind=kind, message=message, traceback=shown)
    return EXIT_CODES[kind]
