"""One allocation end to end: real fork server, real ranks, real HTTP."""

from tests.agent.conftest import make_order, wait_for
from tests.agent.stub_server import ControlPlane
from workers.agent.node import Node
from workers.contract.node_api import Outcome


def test_offer_in_heartbeat_is_claimed_launched_and_accounted_for(plane: ControlPlane, node: Node) -> None:
    order = make_order(
        [
            ["phase", "train"],
            ["metrics", 5, 0.01],
            ["print", "hello"],
            ["checkpoint", 5, 3500],
            ["model", 10],
            ["finish"],
        ]
    )
    stored = plane.add(order)
    wait_for(lambda: stored.exit)
    assert stored.exit.outcome is Outcome.SUCCEEDED
    assert stored.exit.exit_codes == (0, 0)
    assert [report.type for report in stored.reports if report.type in {"running", "checkpoint", "model", "exit"}] == [
        "running",
        "checkpoint",
        "model",
        "exit",
    ]
    assert [step for step, _ in stored.points[0, "loss"]] == [1, 2, 3, 4, 5]
    assert stored.logs["1.stdout"] == b"hello\n"
