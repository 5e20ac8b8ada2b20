"""`cox`: the command line. Commands live beside this file by subject; each imports what it needs when it runs."""

import sys

import typer

from coxswain import __version__
from coxswain.cli import datasets, failures, jobs, lifecycle, login, models, nodes, output, secrets, stack, worker

app = typer.Typer(
    name="cox",
    help="Coxswain: a control plane for distributed LLM training.",
    epilog=output.__doc__.split("\n\n", 1)[1] if output.__doc__ else None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(stack.up)
app.command()(stack.down)
app.command()(stack.status)
app.command("exec", context_settings={"allow_interspersed_args": False})(stack.execute)
app.command()(login.login)
app.add_typer(jobs.app, name="job")
app.add_typer(datasets.app, name="dataset")
lifecycle.add_commands(models.app)
app.add_typer(models.app, name="model")
app.add_typer(nodes.app, name="node")
app.add_typer(secrets.app, name="secret")
app.add_typer(worker.app, name="worker")


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        output.print_lines(__version__)
        raise typer.Exit


def main() -> None:
    """Run `cox`; errors that are meant for a person are printed without a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(output.EXIT_INTERRUPTED)
    except BrokenPipeError:  # whoever read has seen enough: `cox job logs 3 | head`
        sys.stderr.close()
        sys.exit(output.EXIT_FAILED)
    except Exception as error:
        code = failures.exit_code(error)
        if code is None:
            raise
        failures.print_failure(error, code, as_json="--json" in sys.argv)
        sys.exit(code)


if __name__ == "__main__":
    main()
