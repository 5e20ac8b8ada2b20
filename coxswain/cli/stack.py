"""`cox up`, `cox down`, `cox status`, `cox exec`: the embedded stack of this machine."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coxswain.cli.output import EXIT_NOT_RUNNING, JsonFlag, print_json, print_lines, print_table

if TYPE_CHECKING:
    from coxswain.stack.paths import StackPaths
    from coxswain.stack.supervisor import ReadyStack

_DETACHED_START_TIMEOUT_S = 300.0

DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Where everything is kept. Default: /var/lib/coxswain as root, else the user's data folder.",
        envvar="COX_DATA_DIR",
    ),
]


def up(
    data_dir: DataDir = None,
    port: Annotated[
        int | None,
        typer.Option(
            help="Port of the web server; 0 picks a free one. Default: the last one, else 8700.",
            envvar="COX_PORT",
            min=0,
            max=65535,
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.", envvar="COX_HOST")] = "127.0.0.1",
    detach: Annotated[bool, typer.Option("--detach", help="Return once the stack is ready; it runs on.")] = False,
    echo: Annotated[
        bool, typer.Option("--echo/--no-echo", help="Repeat what the parts say; it is in DIR/logs in any case.")
    ] = True,
    services_only: Annotated[
        bool, typer.Option("--services-only", help="Database and broker alone, to restore a backup into.")
    ] = False,
    no_agent: Annotated[bool, typer.Option("--no-agent", help="Start no agent on this machine.")] = False,
    slots: Annotated[
        int | None, typer.Option(help="Slots of the agent. Default: one per GPU, else one per CPU core.", min=1)
    ] = None,
    device: Annotated[str, typer.Option(help="What a slot is: auto, cpu or cuda.")] = "auto",
    scripts_as_agent: Annotated[
        bool,
        typer.Option("--scripts-as-agent", help="Not as root: run script jobs as this user. Read the operator guide."),
    ] = False,
) -> None:
    """Start the embedded stack: database, broker, web, scheduler, worker and an agent."""
    from coxswain.stack.paths import StackPaths, default_data_dir
    from coxswain.stack.plan import StackOptions
    from coxswain.stack.supervisor import run_stack

    root = (data_dir or default_data_dir()).expanduser().absolute()
    if detach:
        _start_detached(StackPaths(root))
        return
    options = StackOptions(
        root, port=port, host=host, with_servers=not services_only, with_agent=not no_agent, slots=slots, device=device,
        scripts_as_agent=scripts_as_agent,
    )  # fmt: skip
    run_stack(options, echo=echo, on_ready=_announce_services if services_only else _announce)


def down(data_dir: DataDir = None) -> None:
    """Stop the embedded stack."""
    paths = _paths(data_dir)
    from coxswain.stack.supervisor import stop_stack

    if stop_stack(paths):
        print_lines(f"Stopped the stack on {paths.root}.")
    else:
        print_lines(f"No stack runs on {paths.root}.")


def status(data_dir: DataDir = None, as_json: JsonFlag = False) -> None:
    """Show the processes of the embedded stack; exits with 5 when none runs."""
    from coxswain.stack.plan import http_answers, probe_address
    from coxswain.stack.state import is_running, load_state

    paths = _paths(data_dir)
    state = load_state(paths.state)
    running = is_running(paths)
    is_ready = running and state.is_ready and http_answers(f"{probe_address(state.host, state.port)}/readyz")
    rows = [_process_row(child.name, child.status, child.process, child.restarts) for child in state.children]
    if as_json:
        summary = {"data_dir": str(paths.root), "running": running, "ready": is_ready, "url": state.url}
        print_json({**summary, "processes": rows if running else []})
    elif running:
        print_lines(f"{state.url}  {'ready' if is_ready else 'not ready'}  ({paths.root})")
        columns = ("process", "status", "pid", "up", "restarts", "memory")
        print_table(columns, [tuple(row.values()) for row in rows])
    else:
        print_lines(f"No stack runs on {paths.root}.")
    if not running:
        raise typer.Exit(EXIT_NOT_RUNNING)


def execute(
    command: Annotated[list[str], typer.Argument(help="The command and its arguments.", show_default=False)],
    data_dir: DataDir = None,
) -> None:
    """Run a command in the servers' environment: `cox exec python -m django ...`, `cox exec pg_dump ...`.

    The programs of Postgres are those of the server's version, and PGHOST and its like name the database.
    """
    from coxswain.stack.errors import StackError
    from coxswain.stack.running import running_environment

    environment = running_environment(_paths(data_dir))
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 (the command takes this process' place)
    except OSError as error:
        raise StackError(f"{command[0]} cannot be run: {error.strerror}") from error


def _paths(data_dir: Path | None) -> "StackPaths":
    from coxswain.stack.paths import StackPaths, default_data_dir

    return StackPaths((data_dir or default_data_dir()).expanduser().absolute())


def _announce(ready: "ReadyStack") -> None:
    print_lines(f"\nCoxswain is ready: {ready.url}")
    if sys.stdout.isatty():  # never into a log file
        print_lines(f"Sign in as {ready.username} with the password {ready.secrets.admin_password}\n")
    else:
        print_lines(f"Sign in as {ready.username}; the password is in {ready.secrets.admin_password_file}\n")


def _announce_services(_ready: "ReadyStack") -> None:
    print_lines("Database and broker run; `cox exec psql` reaches the one.")


def _start_detached(paths: "StackPaths") -> None:
    """Run the same command without --detach in a session of its own, and wait until it is ready or has given up.

    Raises:
        StackError: it did not become ready.
    """
    from coxswain.stack.errors import StackError
    from coxswain.stack.secrets import load_secrets
    from coxswain.stack.state import hold_lock, is_running, load_state
    from coxswain.stack.supervisor import ready_stack

    paths.create()
    with hold_lock(paths):  # refused here when one runs: its log must not be cut
        pass
    arguments = [argument for argument in sys.argv[1:] if argument not in {"--detach", "--echo"}] + ["--no-echo"]
    log_path = paths.logs / "supervisor.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "coxswain.cli.app", *arguments],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + _DETACHED_START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        state = load_state(paths.state)
        if state.is_ready and is_running(paths) and state.supervisor and state.supervisor.pid == process.pid:
            announce = _announce_services if "--services-only" in arguments else _announce
            announce(ready_stack(state.url, load_secrets(paths.secrets)))
            return
        time.sleep(0.1)
    process.terminate()
    process.wait()
    raise StackError(f"The stack did not start. The end of {log_path}:\n{log_path.read_text()[-3000:]}")


def _process_row(name: str, status: str, process: Any, restarts: int) -> dict[str, object]:
    from coxswain.stack.memory import group_pss_mib, uptime_s

    alive = process is not None and process.is_alive
    seconds = int(uptime_s(process)) if alive else None
    memory_mib = group_pss_mib(process.pid) if alive else None
    return {
        "name": name,
        "status": status if alive or status in {"waiting", "stopped"} else "gone",
        "pid": process.pid if alive else None,
        "uptime": f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}" if seconds is not None else None,
        "restarts": restarts,
        "memory": f"{memory_mib:.0f} MiB" if memory_mib is not None else None,
    }
