"""The ``script`` job: a user's own training program, run under torch's elastic agent on every node of the gang."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from workers.contract.base import ContractModel
from workers.contract.manifest import SHA256_PATTERN, is_safe_path

GIT_PROTOCOLS = ("https", "ssh")
"""What a repository may be fetched by unless the operator says otherwise."""

_SCP_LIKE = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[^/].*|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:/[^/].*")
_RESERVED_PREFIXES = ("COX_", "TORCHELASTIC_")
_RESERVED = frozenset({
    "GROUP_RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "RANK", "ROLE_RANK",
    "ROLE_WORLD_SIZE", "WORLD_SIZE",
})  # fmt: skip


def git_protocol(url: str) -> str:
    """Return the protocol of a repository's URL; ``user@host:path`` is ssh.

    Raises:
        ValueError: it is no URL of a remote repository, or carries a password.
    """
    if _SCP_LIKE.fullmatch(url):
        return "ssh"
    parts = urlsplit(url)
    if url.startswith("-") or "::" in url or not parts.scheme or not (parts.netloc or parts.scheme == "file"):
        raise ValueError(f"{url!r} is no repository's URL, such as https://host/group/name.git or git@host:name.git")
    if parts.password is not None:
        raise ValueError("the URL carries a password: take it out and name a secret in password_secret")
    return parts.scheme


def _relative(path: str) -> str:
    if not is_safe_path(path):
        raise ValueError(f"{path!r} must be a path below the source's root, such as train.py or src/train.py")
    return str(PurePosixPath(path))


def _variable(name: str) -> str:
    if name in _RESERVED or name.startswith(_RESERVED_PREFIXES):
        raise ValueError(f"{name} is set by the control plane: choose another name")
    return name


SourcePath = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_relative)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$"), AfterValidator(_variable)]
SecretName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Text = Annotated[str, StringConstraints(max_length=32_768, pattern=r"^[^\x00]*$")]


class UploadedFile(ContractModel):
    """A file that was sent beforehand through the transfer protocol (`uploads`)."""

    sha256: str = Field(pattern=SHA256_PATTERN, title="SHA-256", description="Of the uploaded archive or bundle.")
    size_bytes: int = Field(ge=0, title="Size", description="Bytes.")


class ArchiveSource(ContractModel):
    """A tar (plain, gzip, bzip2, xz) or zip archive of the program."""

    source: Literal["archive"] = "archive"
    archive: UploadedFile = Field(title="Archive", description="`cox job submit --source DIR` makes and sends it.")


class BundleSource(ContractModel):
    """A git bundle: a repository's history up to a commit, in one file."""

    source: Literal["bundle"] = "bundle"
    bundle: UploadedFile = Field(title="Bundle", description="`cox job submit --source DIR` makes and sends it.")
    commit: Commit = Field(title="Commit", description="Full hash of what is run.")
    diff: UploadedFile | None = Field(None, title="Uncommitted changes", description="A patch on top of the commit.")


class GitSource(ContractModel):
    """A repository that the nodes fetch themselves."""

    source: Literal["git"] = "git"
    url: str = Field(
        min_length=1, max_length=2048, title="Repository", description="https or ssh, without a password in it."
    )
    commit: Commit = Field(title="Commit", description="Full hash of what is run.")
    diff: UploadedFile | None = Field(None, title="Uncommitted changes", description="A patch on top of the commit.")
    username: str = Field(
        "git", pattern=r"^[A-Za-z0-9_.@-]{1,255}$", title="User name", description="For https with a password."
    )
    password_secret: SecretName | None = Field(
        None, title="Password", description="Name of a secret: a password or access token for https."
    )
    ssh_key_secret: SecretName | None = Field(
        None, title="SSH key", description="Name of a secret: a private key without a passphrase."
    )
    known_hosts: str = Field(
        "",
        max_length=16_384,
        title="Known hosts",
        description="Lines as in ~/.ssh/known_hosts. Empty: the host's key is taken as it comes.",
    )

    @model_validator(mode="after")
    def _is_fetchable(self) -> "GitSource":
        protocol = git_protocol(self.url)
        if protocol == "ssh" and self.ssh_key_secret is None:
            raise ValueError("a repository over ssh needs ssh_key_secret: nodes have no key of their own")
        if self.password_secret is not None and protocol != "https":
            raise ValueError(f"password_secret is for https alone, not {protocol}")
        return self


CodeSource = Annotated[ArchiveSource | BundleSource | GitSource, Field(discriminator="source")]


class FileEntry(ContractModel):
    """Run a file of the source."""

    run: Literal["file"] = "file"
    path: SourcePath = Field(title="Script", description="Below the source's root, such as `train.py`.")


class ModuleEntry(ContractModel):
    """Run a module, as `python -m` does, with the source's root on the path."""

    run: Literal["module"] = "module"
    module: str = Field(
        max_length=255,
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$",
        title="Module",
        description="Such as `project.train`.",
    )


Entry = Annotated[FileEntry | ModuleEntry, Field(discriminator="run")]


class SecretVariable(ContractModel):
    """A secret of the project as an environment variable."""

    deliver: Literal["variable"] = "variable"
    secret: SecretName = Field(title="Secret", description="Name of a secret of the project.")
    variable: VariableName = Field(title="Variable", description="That holds the value.")


class SecretFile(ContractModel):
    """A secret of the project as a file that the script alone can read."""

    deliver: Literal["file"] = "file"
    secret: SecretName = Field(title="Secret", description="Name of a secret of the project.")
    variable: VariableName = Field(title="Variable", description="That holds the file's path.")


SecretDelivery = Annotated[SecretVariable | SecretFile, Field(discriminator="deliver")]


class RequirementsText(ContractModel):
    """Requirements written here."""

    source: Literal["text"] = "text"
    text: str = Field(
        min_length=1, max_length=262_144, title="Requirements", description="As in requirements.txt; best a full lock."
    )


class RequirementsFile(ContractModel):
    """Requirements in a file of the source."""

    source: Literal["file"] = "file"
    path: SourcePath = Field(title="File", description="Below the source's root, such as `requirements.lock`.")


Requirements = Annotated[RequirementsText | RequirementsFile, Field(discriminator="source")]


class ScriptSpec(ContractModel):
    """Run a program of your own under torchrun."""

    kind: Literal["script"] = "script"
    version: Literal[1] = 1
    code: CodeSource = Field(title="Source")
    entry: Entry = Field(title="Entry", description="What each rank runs.")
    arguments: tuple[Text, ...] = Field((), max_length=1024, title="Arguments", description="Of the script, in order.")
    variables: dict[VariableName, Text] = Field(
        default_factory=dict, max_length=256, title="Environment", description="Variables by name. Not for secrets."
    )
    secrets: tuple[SecretDelivery, ...] = Field(
        (), max_length=64, title="Secrets", description="Of the project, by name. They are masked in the logs."
    )
    requirements: Requirements | None = Field(
        None,
        title="Requirements",
        description="Installed into a virtual environment, which the node keeps for the next job with the same ones.",
    )
    system_packages: bool = Field(
        default=True,
        title="See the node's packages",
        description="Such as torch. Without them the requirements must name everything, torch included.",
    )
    dataset: str | None = Field(
        None, max_length=1024, title="Dataset", description="`name` or `name@3`; its files are in $COX_DATASET_DIR."
    )
    model: str | None = Field(
        None, max_length=1024, title="Model version", description="Such as `tiny_v3`; its files are in $COX_MODEL_DIR."
    )
    max_restarts: int = Field(
        3, ge=0, le=100, title="Restarts", description="By torchrun within an attempt, when a rank dies."
    )
    grace_period_s: float = Field(
        30.0,
        ge=1,
        le=3600,
        title="Grace period",
        description="Seconds to end when cancelled: half after the stop request, half after SIGTERM, then SIGKILL.",
    )

    @model_validator(mode="after")
    def _variables_are_set_once(self) -> "ScriptSpec":
        if self.requirements is None and not self.system_packages:
            raise ValueError(
                "system_packages=false needs requirements: a script without torch cannot run under torchrun"
            )
        names = [*self.variables, *(secret.variable for secret in self.secrets)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is set more than once, by variables or secrets")
        return self

    @property
    def secret_names(self) -> tuple[str, ...]:
        """Every secret the job is given, sorted."""
        names = {delivery.secret for delivery in self.secrets}
        if isinstance(self.code, GitSource):
            names |= {name for name in (self.code.password_secret, self.code.ssh_key_secret) if name is not None}
        return tuple(sorted(names))

    @property
    def uploaded_files(self) -> dict[str, UploadedFile]:
        """The files that were sent for this job, by the names they have on the node."""
        code = self.code
        if isinstance(code, ArchiveSource):
            return {"source.archive": code.archive}
        files = {"source.bundle": code.bundle} if isinstance(code, BundleSource) else {}
        return files | ({"uncommitted.diff": code.diff} if code.diff is not None else {})
