"""What answers mean."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from uuid import uuid4

import pytest

from workers.agent.api import (
    ApiError,
    GaveUp,
    MarkMismatch,
    NodeApi,
    NotFound,
    Refused,
    Retry,
    StaleFence,
    TokenRefused,
    Unreachable,
)
from workers.contract.node_api import ExitReport, MetricsBatch, Outcome
from workers.contract.run import FailureKind

BATCH = MetricsBatch(rank=0, start=0, stop=1, series=())


class Answers:
    """A server that gives one answer to everything."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b"{}"
        self.asked = b""
        """The body of the last request."""
        answers = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                answers.asked = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(answers.status)
                self.end_headers()
                self.wfile.write(answers.body)

            def log_message(self, format: str, *args: object) -> None:
                """Keep quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def answers() -> Iterator[Answers]:
    answers = Answers()
    threading.Thread(target=answers.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield answers
    answers.server.shutdown()
    answers.server.server_close()


@pytest.fixture
def api(answers: Answers) -> NodeApi:
    return NodeApi(f"http://127.0.0.1:{answers.server.server_port}/", "t")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (409, {"code": "stale_fence"}, StaleFence),
        (409, {"code": "mark_mismatch", "mark": 7}, MarkMismatch),
        (409, {"code": "mark_mismatch"}, Refused),
        (409, {"code": "not_claimable"}, Refused),
        (404, {"code": "not_found"}, NotFound),
        (401, {"code": "unauthenticated"}, TokenRefused),
        (403, {"code": "join_refused"}, TokenRefused),
        (422, {"code": "invalid"}, Refused),
        (405, "", Unreachable),
        (429, {"code": "throttled"}, Unreachable),
        (503, {"code": "unavailable"}, Unreachable),
        (500, "<html>a proxy's page</html>", Unreachable),
        (400, ["not", "an", "object"], Refused),
        (200, {"unexpected": 1}, Unreachable),
        (200, "<html>a login page</html>", Unreachable),
    ],
)
def test_answer_becomes_what_the_agent_can_do_about_it(
    answers: Answers, api: NodeApi, status: int, body: object, error: type[ApiError]
) -> None:
    answers.status, answers.body = status, body.encode() if isinstance(body, str) else json.dumps(body).encode()
    with pytest.raises(error):
        api.send_metrics(uuid4(), BATCH)


def test_mismatch_carries_the_mark(answers: Answers, api: NodeApi) -> None:
    answers.status, answers.body = 409, b'{"code": "mark_mismatch", "mark": 7, "attempt_over": true}'
    with pytest.raises(MarkMismatch) as caught:
        api.send_metrics(uuid4(), BATCH)
    assert (caught.value.reply.mark, caught.value.reply.attempt_over) == (7, True)


def test_nobody_listening_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        NodeApi("http://127.0.0.1:1", "t").send_metrics(uuid4(), BATCH)


def test_retry_waits_ever_longer_until_it_is_stopped() -> None:
    stop, calls = threading.Event(), []

    def fail() -> None:
        calls.append(time.monotonic())
        if len(calls) == 5:
            stop.set()
        raise Unreachable("down")

    with pytest.raises(GaveUp):
        Retry(0.01, 0.04, stop).call(fail)
    gaps = [after - before for before, after in pairwise(calls)]
    assert gaps[0] >= 0.01
    assert gaps[3] >= 0.04


def test_retry_passes_refusals_through() -> None:
    def refuse() -> None:
        raise Refused(422, "invalid", "")

    with pytest.raises(Refused):
        Retry(0.01, 0.01, threading.Event()).call(refuse)


def test_nul_in_last_words_does_not_keep_them_from_being_stored(api: NodeApi, answers: Answers) -> None:
    literal = "\\u0000"  # six characters that only look like one
    report = ExitReport(
        fence=1, time_us=1, outcome=Outcome.FAILED, failure_kind=FailureKind.USER,
        reason=f"bad byte \0 in {literal}", traceback="a\0b", exit_codes=(1,),
    )  # fmt: skip
    api.report(uuid4(), report)
    told = json.loads(answers.asked)
    assert told["reason"] == f"bad byte \N{REPLACEMENT CHARACTER} in {literal}"
    assert told["traceback"] == "a\N{REPLACEMENT CHARACTER}b"
    assert told["fence"] == 1
