"""Secrets on their way to the node that runs a script."""

from apps.core import events
from apps.jobs.models import Allocation
from apps.secrets.selectors import secret_values
from workers.contract.node_api import SecretsReply
from workers.contract.scripting import ScriptSpec
from workers.contract.upgrades import load_spec


def hand_out_secrets(*, allocation: Allocation) -> SecretsReply:
    """Return the secrets that the job's spec names, and record that its node has read them.

    Raises:
        NoSecretsKey, SecretUnreadable: they cannot be decrypted.
    """
    job = allocation.attempt.job
    spec = load_spec(job.spec)
    if not isinstance(spec, ScriptSpec) or not spec.secret_names:
        return SecretsReply(values={})
    values = secret_values(project_id=job.project_id, names=spec.secret_names)
    events.record(job, action="secrets.read", after={"names": sorted(values)}, actor=f"node:{allocation.node.name}")
    return SecretsReply(values=values)
