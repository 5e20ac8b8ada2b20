"""`cox node ...`: the machines of the cluster."""

from typing import TYPE_CHECKING, Annotated

import typer

from coxswain.cli.completion import node_names
from coxswain.cli.connection import open_client
from coxswain.cli.output import JsonFlag, print_item, print_json, print_lines, print_table, show, size_text

if TYPE_CHECKING:
    from coxswain.client import Node

app = typer.Typer(help="Nodes of the cluster.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the node.", autocompletion=node_names)]


@app.command("list")
def list_nodes(as_json: JsonFlag = False) -> None:
    """List nodes with their slots."""
    with open_client() as client:
        found = client.nodes.list()
    columns = ("name", "pool", "state", "slots", "free", "address", "last heard of")
    show(found, as_json=as_json, columns=columns, row=_row)


@app.command("show")
def show_node(name: Name, as_json: JsonFlag = False) -> None:
    """Show one node and what runs on its slots."""
    with open_client() as client:
        node = client.nodes.find(name)
    facts = {
        "name": node.name, "pool": node.pool, "state": node.state, "address": node.address,
        "slots": f"{node.free_slots} of {node.num_slots} free", "last heard of": node.last_seen_at,
    }  # fmt: skip
    print_item(node, as_json=as_json, facts=facts)
    if not as_json:
        rows = [
            (slot.index, slot.kind, slot.name, size_text(slot.memory_bytes), slot.job_name or _use(slot.is_free))
            for slot in node.devices
        ]
        print_table(("slot", "kind", "device", "memory", "runs"), rows)


@app.command()
def drain(name: Name, as_json: JsonFlag = False) -> None:
    """Give a node no new jobs; those it has go on. Needs an administrator's token (`cox login --scope admin`)."""
    with open_client() as client:
        _print_state(client.nodes.drain(name), as_json=as_json)


@app.command()
def undrain(name: Name, as_json: JsonFlag = False) -> None:
    """Give a node new jobs again."""
    with open_client() as client:
        _print_state(client.nodes.undrain(name), as_json=as_json)


def _print_state(node: "Node", *, as_json: bool) -> None:
    if as_json:
        print_json(node.model_dump(mode="json"))
    else:
        print_lines(f"{node.name}: {node.state}, {node.num_slots - node.free_slots} of {node.num_slots} slots in use")


def _row(node: "Node") -> tuple[object, ...]:
    seen = (node.last_seen_at or "never")[:19]
    return (node.name, node.pool, node.state, node.num_slots, node.free_slots, node.address, seen)


def _use(is_free: bool) -> str:
    return "" if is_free else "a job you may not see"
