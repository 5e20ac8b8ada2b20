"""The wire format, literally: a change to any contract model is a visible diff of a golden file.

Run with ``COX_UPDATE_GOLDEN=1`` to rewrite the files after a deliberate change.
"""

import json
import os
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from workers.contract import forkserver, jobs, node_api, run

GOLDEN = Path(__file__).parent / "golden"

MESSAGES: dict[str, TypeAdapter[object]] = {
    "job_spec": TypeAdapter(jobs.JobSpec),
    "resources": TypeAdapter(jobs.Resources),
    "run_file": TypeAdapter(run.RunFile),
    "control_file": TypeAdapter(run.ControlFile),
    "pulse": TypeAdapter(run.Pulse),
    "event": TypeAdapter(run.Event),
    "forkserver_request": TypeAdapter(forkserver.Request),
    "forkserver_reply": TypeAdapter(forkserver.Reply),
    "join_request": TypeAdapter(node_api.JoinRequest),
    "join_reply": TypeAdapter(node_api.JoinReply),
    "heartbeat_request": TypeAdapter(node_api.HeartbeatRequest),
    "heartbeat_reply": TypeAdapter(node_api.HeartbeatReply),
    "claim_request": TypeAdapter(node_api.ClaimRequest),
    "claim_reply": TypeAdapter(node_api.ClaimReply),
    "report": TypeAdapter(node_api.Report),
    "metrics_batch": TypeAdapter(node_api.MetricsBatch),
    "mark_reply": TypeAdapter(node_api.MarkReply),
    "secrets_reply": TypeAdapter(node_api.SecretsReply),
    "upload_request": TypeAdapter(node_api.UploadRequest),
    "upload_reply": TypeAdapter(node_api.UploadReply),
}


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_schema_of_message_is_the_golden_one(name: str) -> None:
    schema = json.dumps(MESSAGES[name].json_schema(), indent=1, sort_keys=True) + "\n"
    path = GOLDEN / f"{name}.json"
    if os.environ.get("COX_UPDATE_GOLDEN") == "1":
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(schema)
    assert path.read_text() == schema, f"the wire format of {name} changed: bump versions, then update the golden file"


def test_every_golden_file_has_a_message() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(MESSAGES)
