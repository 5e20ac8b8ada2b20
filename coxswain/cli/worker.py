"""`cox worker ...`: make this machine a node of a cluster, and see whether it can be one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from coxswain.cli.output import EXIT_FAILED, JsonFlag, print_json, print_table

app = typer.Typer(help="This machine as a node.", no_args_is_help=True)

Server = Annotated[str, typer.Option(help="Address of the control plane.", envvar="COX_URL")]
Slots = Annotated[int | None, typer.Option(help="Default: one per GPU, else one per CPU core.", min=1)]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
DataDir = Annotated[Path | None, typer.Option(help="Where the node keeps its spool and its cache.")]
TokenFile = Annotated[Path | None, typer.Option(help="A file with the join token.")]


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def start(
    context: typer.Context,
    server: Server,
    name: Annotated[str, typer.Option(help="Unique name of this node; a node that comes back keeps its identity.")],
    join_token: Annotated[
        str | None,
        typer.Option(help="A join token; not needed again once the node has joined.", envvar="COX_JOIN_TOKEN"),
    ] = None,
    join_token_file: TokenFile = None,
    pool: Annotated[str, typer.Option(help="Pool to enter.")] = "default",
    data_dir: DataDir = None,
    slots: Slots = None,
    device: Device = "auto",
    scripts_as_agent: Annotated[
        bool,
        typer.Option("--scripts-as-agent", help="Not as root: run script jobs as this user. Read the operator guide."),
    ] = False,
    script_python: Annotated[Path | None, typer.Option(help="Interpreter of script jobs.")] = None,
) -> None:
    """Run the agent of this machine until it is stopped; it takes all options of `python -m workers.agent`."""
    folder = _folder(data_dir, name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if join_token and join_token_file is None:
        join_token_file = folder / "join-token"
        join_token_file.touch(mode=0o600)
        join_token_file.write_text(join_token + "\n")
    command = [sys.executable, "-m", "workers.agent", "--server", server, "--name", name, "--pool", pool,
               "--data-dir", str(folder), "--device", device]  # fmt: skip
    if join_token_file:
        command += ["--join-token-file", str(join_token_file)]
    if slots:
        command += ["--slots", str(slots)]
    if scripts_as_agent:
        command.append("--scripts-as-agent")
    if script_python is not None:
        command += ["--script-python", str(script_python)]
    command += context.args
    environment = {key: value for key, value in os.environ.items() if key != "COX_JOIN_TOKEN"}
    os.execve(sys.executable, command, environment)  # noqa: S606 (the agent takes this process' place)


@app.command()
def doctor(
    server: Server,
    name: Annotated[str | None, typer.Option(help="Name of the node, to look at its identity too.")] = None,
    join_token_file: TokenFile = None,
    data_dir: DataDir = None,
    slots: Slots = None,
    device: Device = "auto",
    address: Annotated[str | None, typer.Option(help="Where other nodes would reach this one.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what keeps this machine from being a good node, and the remedy; exits with 1 when something is wrong.

    Looks at the server, the node's identity, the broker, disk, limits, devices, address, and lets two local ranks
    talk to each other by NCCL or gloo. Changes nothing.
    """
    from coxswain.client.errors import CoxswainError

    given = {"--join-token-file": join_token_file, "--slots": slots, "--address": address}
    if name or data_dir:
        given["--data-dir"] = _folder(data_dir, name or "")
    command = [sys.executable, "-m", "workers.agent.doctor", "--server", server, "--device", device]
    command += [word for option, value in given.items() if value is not None for word in (option, str(value))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        findings = json.loads(done.stdout)
    except ValueError as error:
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise CoxswainError(f"The checks do not run: {last}. A node needs: pip install 'coxswain[worker]'") from error
    if as_json:
        print_json(findings)
    else:
        rows = [
            (found["check"], found["status"], "\n".join(filter(None, (found["message"], _remedy(found["fix"])))))
            for found in findings
        ]
        print_table(("check", "status", "found"), rows)
    if any(found["status"] == "failed" for found in findings):
        raise typer.Exit(EXIT_FAILED)


def _folder(data_dir: Path | None, name: str) -> Path:
    from coxswain.stack.paths import default_data_dir

    return (data_dir or default_data_dir() / f"node-{name}").expanduser().absolute()


def _remedy(fix: str) -> str:
    return f"-> {fix}" if fix else ""
