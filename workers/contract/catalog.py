"""The catalogue of job kinds as JSON Schema: forms, the REST API and the docs render from it."""

from typing import Any

from workers.contract.jobs import JOB_KINDS

JsonSchema = dict[str, Any]


def job_schema(kind: str) -> JsonSchema:
    """Return the JSON Schema (2020-12) of one kind's spec, with titles, descriptions and defaults.

    Raises:
        KeyError: there is no such kind.
    """
    return JOB_KINDS[kind].model_json_schema(mode="validation")
