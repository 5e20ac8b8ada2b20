"""One of everything in one workspace, and how each route of the REST API is asked for it.

A new route needs an entry in ``PATHS`` when its address names an object, and in ``BODIES`` when it changes something;
``test_authorization`` fails without them.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apps.accounts.models import ApiToken, Membership, Role, User, Workspace
from apps.accounts.services import create_token
from apps.cluster.models import JoinToken, Node
from apps.cluster.services import create_join_token
from apps.datasets import services as dataset_services
from apps.datasets.models import Dataset, DatasetVersion
from apps.jobs.models import Attempt, Job
from apps.jobs.state import AttemptOutcome, AttemptState
from apps.lifecycle.models import Rule
from apps.lifecycle.services import create_rule
from apps.model_registry.models import Model, ModelVersion
from apps.projects.models import Project
from apps.secrets.models import Secret
from apps.secrets.services import set_secret
from apps.storage import services as storage_services
from apps.storage.models import FileSetEntry, Upload
from tests.apps.factories import MembershipFactory, ProjectFactory, UserFactory, WorkspaceFactory
from tests.apps.jobs.simulation import FakeAgent, control_plane_up_for, submit
from tests.apps.storage.factories import make_file_set, store_files
from workers.contract.manifest import FileRef

CONTENT = b"a few words\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILES = [{"path": "a.txt", "sha256": SHA256, "size_bytes": len(CONTENT)}]
MODEL_FILES = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "model.safetensors": b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ",
}
MODEL_REFS = [
    FileRef(path=path, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    for path, data in MODEL_FILES.items()
]


@dataclass
class Scene:
    """A workspace with its people and one object of each kind."""

    workspace: Workspace
    owner: User
    viewer: User
    outsider: User
    superuser: User
    member: Membership
    project: Project
    secret: Secret
    upload: Upload
    dataset: Dataset
    dataset_version: DatasetVersion
    model: Model
    model_version: ModelVersion
    rule: Rule
    entry: FileSetEntry
    job: Job
    token: ApiToken
    join_token: JoinToken
    node: Node
    agent: FakeAgent

    def secrets(self) -> list[str]:
        """Return the ids and names that nobody outside the workspace may read anywhere."""
        hidden = (
            self.workspace,
            self.project,
            self.dataset,
            self.dataset_version,
            self.model,
            self.model_version,
            self.rule,
            self.job,
        )
        return [*(str(row.pk) for row in hidden), "secret-name", "the secret value"]


def train_spec(dataset: Dataset) -> dict[str, Any]:
    """Return a short spec that the contract takes."""
    return {"kind": "train", "data": {"dataset": dataset.name}, "steps": 10}


def build_scene() -> Scene:
    """Make it, through services where rows need more than columns."""
    workspace = WorkspaceFactory.create(name="secret-name-workspace")
    owner = MembershipFactory.create(workspace=workspace, role=Role.OWNER).user
    member = MembershipFactory.create(workspace=workspace, role=Role.VIEWER)
    superuser = UserFactory.create(is_superuser=True, is_staff=True)
    project = ProjectFactory.create(workspace=workspace, name="secret-name-project")
    dataset = dataset_services.create_dataset(actor=owner, project=project, name="secret-name-data")
    files = store_files(workspace, owner, {"a.txt": CONTENT})
    dataset_version = dataset_services.create_version(dataset=dataset, actor=owner, files=files).version
    dataset_services.compute_statistics(version_id=dataset_version.pk)
    model = Model.objects.create(workspace=workspace, project=project, name="secret-name-model", last_version_number=1)
    file_set = make_file_set(workspace, owner, MODEL_FILES)
    model_version = ModelVersion.objects.create(workspace=workspace, model=model, number=1, file_set=file_set)
    control_plane_up_for(3600)
    agent = FakeAgent(name="n1").join()
    job = submit(project, owner, name="secret-name-job", spec=train_spec(dataset))
    Job.objects.filter(pk=job.pk).update(output_version=model_version)
    Attempt.objects.create(job=job, number=1, fence=1, state=AttemptState.ENDED, outcome=AttemptOutcome.LOST)
    return Scene(
        workspace=workspace,
        owner=owner,
        viewer=MembershipFactory.create(workspace=workspace, role=Role.VIEWER).user,
        outsider=MembershipFactory.create(role=Role.OWNER).user,
        superuser=superuser,
        member=member,
        project=project,
        secret=set_secret(project=project, actor=owner, name="secret-name-token", value="the secret value"),
        upload=storage_services.create_upload(workspace=workspace, user=owner, sha256="0" * 64, size_bytes=3),
        dataset=dataset,
        dataset_version=dataset_version,
        model=model,
        model_version=model_version,
        rule=create_rule(
            model_id=model.pk, actor=owner, metric="perplexity", against="number", bound=20.0, dataset=dataset.name
        ),
        entry=FileSetEntry.objects.filter(file_set=file_set).first(),  # type: ignore[arg-type]
        job=job,
        token=create_token(actor=owner, name="t").token,
        join_token=create_join_token(name="j").token,
        node=Node.objects.get(),
        agent=agent,
    )


PATHS: dict[str, Callable[[Scene], dict[str, Any]]] = {
    "workspaces/<uuid:workspace_id>": lambda s: {"workspace_id": s.workspace.pk, "pk": s.member.pk},
    "workspaces/<uuid:pk>": lambda s: {"pk": s.workspace.pk},
    "tokens": lambda s: {"pk": s.token.pk},
    "join-tokens": lambda s: {"pk": s.join_token.pk},
    "projects": lambda s: {"pk": s.project.pk},
    "projects/<uuid:project_id>/secrets": lambda s: {"project_id": s.project.pk, "name": s.secret.name},
    "uploads": lambda s: {"pk": s.upload.pk, "number": 0},
    "datasets": lambda s: {"pk": s.dataset.pk, "id": s.dataset.pk},
    "dataset-versions": lambda s: {"pk": s.dataset_version.pk, "path": "a.txt"},
    "models": lambda s: {"pk": s.model.pk, "id": s.model.pk},
    "models/<uuid:model_id>/rules": lambda s: {"model_id": s.model.pk, "pk": s.rule.pk},
    "model-versions": lambda s: {"pk": s.model_version.pk, "path": "config.json"},
    "jobs": lambda s: {"pk": s.job.pk, "id": s.job.pk, "entry": s.entry.pk},
    "nodes": lambda s: {"pk": s.node.pk},
    "pools": lambda s: {"pk": s.node.pool_id},
}
"""What fills the address of every route that begins so; the longest beginning counts."""

QUERIES = {
    "jobs/<uuid:id>/metrics/points": {"key": "loss"},
    "jobs/<uuid:id>/metrics/curves": {"key": "loss", "rank": "0"},
}

BODIES: dict[str, Callable[[Scene], Any]] = {
    "POST auth/logout": lambda _s: None,
    "POST tokens": lambda _s: {"name": "new"},
    "DELETE tokens/<uuid:pk>": lambda _s: None,
    "POST join-tokens": lambda _s: {"name": "new"},
    "DELETE join-tokens/<uuid:pk>": lambda _s: None,
    "POST workspaces": lambda _s: {"name": "new"},
    "PATCH workspaces/<uuid:pk>": lambda _s: {"name": "new"},
    "DELETE workspaces/<uuid:pk>": lambda _s: None,
    "POST workspaces/<uuid:workspace_id>/members": lambda s: {"username": s.outsider.username, "role": "viewer"},
    "PATCH workspaces/<uuid:workspace_id>/members/<uuid:pk>": lambda _s: {"role": "editor"},
    "DELETE workspaces/<uuid:workspace_id>/members/<uuid:pk>": lambda _s: None,
    "POST projects": lambda s: {"workspace": str(s.workspace.pk), "name": "new"},
    "PATCH projects/<uuid:pk>": lambda _s: {"description": "new"},
    "DELETE projects/<uuid:pk>": lambda _s: None,
    "PUT projects/<uuid:project_id>/secrets/<str:name>": lambda _s: {"value": "another value"},
    "DELETE projects/<uuid:project_id>/secrets/<str:name>": lambda _s: None,
    "POST uploads": lambda s: {"project": str(s.project.pk), "sha256": "1" * 64, "size_bytes": 1},
    "PUT uploads/<uuid:pk>/parts/<int:number>": lambda _s: b"abc",
    "POST uploads/<uuid:pk>/finalise": lambda _s: None,
    "POST datasets": lambda s: {"project": str(s.project.pk), "name": "new"},
    "PATCH datasets/<uuid:pk>": lambda _s: {"description": "new"},
    "DELETE datasets/<uuid:pk>": lambda _s: None,
    "POST datasets/<uuid:id>/versions": lambda _s: {"files": FILES},
    "POST models": lambda s: {"project": str(s.project.pk), "name": "new"},
    "PATCH models/<uuid:pk>": lambda _s: {"description": "new"},
    "DELETE models/<uuid:pk>": lambda _s: None,
    "POST models/<uuid:id>/versions": lambda _s: {"files": [ref.model_dump() for ref in MODEL_REFS]},
    "PATCH model-versions/<str:pk>": lambda _s: {"card": "new"},
    "DELETE model-versions/<str:pk>": lambda _s: None,
    "POST model-versions/<str:pk>/promotions": lambda _s: {"reason": "new"},
    "POST model-versions/<str:pk>/retire": lambda _s: {"reason": "old"},
    "POST models/<uuid:model_id>/rules": lambda _s: {"metric": "size_on_disk_bytes", "against": "number", "bound": 100},
    "DELETE models/<uuid:model_id>/rules/<uuid:pk>": lambda _s: None,
    "POST models/<uuid:id>/production": lambda _s: {"version": None},
    "POST jobs": lambda s: {
        "project": str(s.project.pk),
        "name": "new",
        "spec": train_spec(s.dataset),
    },
    "POST jobs/estimate": lambda s: {"project": str(s.project.pk), "spec": train_spec(s.dataset)},
    "DELETE jobs/<uuid:pk>": lambda _s: None,
    "POST jobs/<uuid:pk>/cancel": lambda _s: None,
    "POST jobs/<uuid:pk>/kill": lambda _s: None,
    "POST jobs/<uuid:pk>/rerun": lambda _s: None,
    "POST nodes/<uuid:pk>/drain": lambda _s: None,
    "POST nodes/<uuid:pk>/undrain": lambda _s: None,
}
"""A body that the route takes from somebody who may; None is no body, bytes are sent as they are."""
