"""`cox worker start`: make this machine a node of a cluster."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Nodes.", no_args_is_help=True)


@app.command()
def start(
    server: Annotated[str, typer.Option(help="Address of the control plane.", envvar="COX_URL")],
    name: Annotated[str, typer.Option(help="Unique name of this node; a node that comes back keeps its identity.")],
    join_token: Annotated[
        str | None,
        typer.Option(help="A join token; not needed again once the node has joined.", envvar="COX_JOIN_TOKEN"),
    ] = None,
    join_token_file: Annotated[Path | None, typer.Option(help="A file with the join token.")] = None,
    pool: Annotated[str, typer.Option(help="Pool to enter.")] = "default",
    data_dir: Annotated[Path | None, typer.Option(help="Where the node keeps its spool and its cache.")] = None,
    slots: Annotated[int | None, typer.Option(help="Default: one per GPU, else one per CPU core.", min=1)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    scripts_as_agent: Annotated[
        bool,
        typer.Option("--scripts-as-agent", help="Not as root: run script jobs as this user. Read the operator guide."),
    ] = False,
    script_python: Annotated[Path | None, typer.Option(help="Interpreter of script jobs.")] = None,
) -> None:
    """Run the agent of this machine until it is stopped."""
    from coxswain.stack.paths import default_data_dir

    folder = (data_dir or default_data_dir() / f"node-{name}").expanduser().absolute()
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
    environment = {key: value for key, value in os.environ.items() if key != "COX_JOIN_TOKEN"}
    os.execve(sys.executable, command, environment)  # noqa: S606 (the agent takes this process' place)
