"""`cox model evaluate | compare | rules | promote | switch | retire`: what versions are worth, and where they stand."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from coxswain.cli.connection import Project, open_client
from coxswain.cli.jobs import watch_to_end
from coxswain.cli.output import EXIT_FAILED, JsonFlag, print_json, print_lines, print_table, show

if TYPE_CHECKING:
    from coxswain.client.models import Promotion

Version = Annotated[str, typer.Argument(help="Name of the version, such as tiny_v3, or its id.")]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name or id.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the history.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands to `cox model`."""
    for command in (evaluate, compare, rules, promote, switch, retire):
        app.command()(command)


def evaluate(
    version: Version,
    dataset: Annotated[str | None, typer.Option(help="Dataset to score on; without it speed and size only.")] = None,
    reference: Annotated[str | None, typer.Option(help="Version to compare with. Default: its parent.")] = None,
    length: Annotated[int | None, typer.Option(min=8, help="Tokens of each sample.")] = None,
    num_samples: Annotated[int | None, typer.Option(min=1)] = None,
    pool: Annotated[str, typer.Option(help="Pool of nodes to measure on.")] = "default",
    project: Project = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure a version, and show its figures."""
    named = {"dataset": dataset, "reference": reference, "length": length, "num_samples": num_samples}
    options = {key: value for key, value in named.items() if value is not None}
    with open_client(project) as client:
        name = client.models.get(version).name  # a spec names versions, it knows no ids
        job = client.jobs.submit({"kind": "evaluate", "model": name, **options}, name=f"evaluate {name}", pool=pool)
        if as_json:
            client.jobs.wait(job.id)
        else:
            watch_to_end(client, job)
        found = [each for each in client.lifecycle.evaluations(version) if (each.model_extra or {})["job"] == job.id]
    show(
        found,
        as_json=as_json,
        columns=("metric", "value", "spread", "unit", "dataset", "reference"),
        row=lambda each: (
            each.metric, f"{each.value:,.6g}", "" if each.spread is None else f"{each.spread:.2g}", each.unit,
            each.dataset_version, each.reference,
        ),
    )  # fmt: skip


def compare(model: ModelName, as_json: JsonFlag = False) -> None:
    """Compare a model's versions: figures, differences from the parent, and who is on the Pareto front."""
    with open_client() as client:
        found = client.lifecycle.comparison(model)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    metrics = [column["metric"] for column in found.columns]
    print_table(("version", "stage", "front", *metrics), [_compared(row, metrics) for row in found.rows])


def rules(
    model: ModelName,
    add: Annotated[str | None, typer.Option(metavar="METRIC", help="Make a rule on this metric.")] = None,
    bound: Annotated[float | None, typer.Option(help="The worst value that passes.")] = None,
    tolerance: Annotated[float | None, typer.Option(min=0, help="Percent worse than production that passes.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Dataset that the metric is measured on.")] = None,
    length: Annotated[int | None, typer.Option(min=8, help="Tokens of each sample.")] = None,
    delete: Annotated[str | None, typer.Option(metavar="RULE", help="Drop the rule with this id.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show a model's rules; make or drop one."""
    if add is None and not all(each is None for each in (bound, tolerance, dataset, length)):
        raise typer.BadParameter("--bound, --tolerance, --dataset and --length describe a rule to --add.")
    if bound is not None and tolerance is not None:
        raise typer.BadParameter("A rule compares with --bound, or with production by --tolerance: give one of them.")
    if add is not None and bound is None and tolerance is None:
        raise typer.BadParameter("Say what --add asks for: --bound, or --tolerance (0: no worse than production).")
    with open_client() as client:
        if delete is not None:
            client.lifecycle.delete_rule(model, delete)
        if add is not None:
            limit = {"against": "production", "tolerance_pct": tolerance or 0} if bound is None else {"bound": bound}
            fields: dict[str, Any] = {"metric": add, "against": "number", **limit}
            fields |= {"dataset": dataset} if dataset is not None else {}
            fields |= {"settings": {"length": length}} if length is not None else {}
            client.lifecycle.add_rule(model, **fields)
        found = client.lifecycle.rules(model)
    show(
        found,
        as_json=as_json,
        columns=("metric", "must be", "dataset", "id"),
        row=lambda rule: (rule.metric, _demand(rule), rule.dataset_version, rule.id),
    )


def promote(
    version: Version,
    to: Annotated[str, typer.Option("--to", help="validated or production.")] = "production",
    reason: Reason = "",
    override: Annotated[
        bool, typer.Option("--override", help="Although rules are not met; owners, with a reason.")
    ] = False,
    pool: Annotated[str, typer.Option(help="Pool of nodes for evaluations that are missing.")] = "default",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for evaluations.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Promote a version by its model's rules; exits with 1 when it is refused."""
    with open_client() as client:
        made = client.lifecycle.promote(version, target=to, reason=reason, override=override, pool=pool)
        if made.state == "pending" and not as_json:
            names = ", ".join(f"#{job['number']}" for job in made.jobs)
            print_lines(f"Waits for evaluations: {names}")
        if not no_wait:
            made = client.lifecycle.wait_decided(made)
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        _print_promotion(made)
    if made.state == "refused":
        raise typer.Exit(EXIT_FAILED)


def switch(
    model: ModelName,
    version: Annotated[
        str | None, typer.Argument(help="A version that was in production before; none takes out.")
    ] = None,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Switch production back to an earlier version, without asking the rules."""
    with open_client() as client:
        found = client.lifecycle.switch(model, version, reason=reason)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        print_lines(f"In production: {found.version.name if found.version else 'nothing'}")


def retire(version: Version, reason: Reason = "", as_json: JsonFlag = False) -> None:
    """Take a version out of use; its files stay."""
    with open_client() as client:
        found = client.lifecycle.retire(version, reason=reason)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        print_lines(f"{found.name}: {found.stage}")


def _compared(row: dict[str, Any], metrics: list[str]) -> tuple[object, ...]:
    cells = {cell["metric"]: cell for cell in row["cells"]}
    front = {True: "yes", False: f"behind {row['dominated_by']}", None: ""}[row["is_on_front"]]
    values = [_cell(cells[metric]) if metric in cells else "" for metric in metrics]
    return (row["version"]["name"], row["version"]["stage"], front, *values)


def _cell(cell: dict[str, Any]) -> str:
    share = "" if cell["difference_pct"] is None else f" ({cell['difference_pct']:+.1f} %)"
    return f"{cell['value']:,.5g}{share}"


def _demand(rule: Any) -> str:
    side = "at least" if rule.comparison == "at_least" else "at most"
    if rule.against == "number":
        return f"{side} {rule.bound:g} {rule.unit}".rstrip()
    return f"{side} production's, {rule.tolerance_pct:g} % tolerated"


def _print_promotion(made: "Promotion") -> None:
    marks = {True: "met", False: "NOT MET", None: "not judged"}
    for verdict in made.verdicts:
        print_lines(f"  {verdict.metric}: {marks[verdict.passed]}. {verdict.message}")
    print_lines(f"{made.version_name} to {made.target}: {made.state}. {made.decision}")
