"""A script's source: unpacked or fetched into its directory, as its user.

git runs without configuration, templates, hooks, submodules, filters and prompts; it may use the allowed protocols
alone (``GIT_ALLOW_PROTOCOL``), and no credentials but the job's own.
"""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workers.agent.scripts.accounts import Account
from workers.agent.scripts.errands import Errand, ErrandFailed, NotStartable, Runner, last_line
from workers.contract import archives
from workers.contract.scripting import ArchiveSource, BundleSource, GitSource, ScriptSpec, git_protocol

_FETCH_TIMEOUT_S = 600.0
_LOCAL_TIMEOUT_S = 300.0
_LIMIT_BYTES = 4 << 30
_NEEDS_CREDENTIALS = (
    "terminal prompts disabled", "could not read username", "could not read password", "authentication failed",
    "permission denied", "invalid username or password", "returned error: 401", "returned error: 403",
)  # fmt: skip
_NO_SUCH_COMMIT = ("not our ref", "couldn't find remote ref", "no such remote ref", "bad object", "not a valid object")
_GIT = (
    "git", "-c", "core.hooksPath=/dev/null", "-c", "submodule.recurse=false", "-c", "fetch.recurseSubmodules=false",
    "-c", "gc.auto=0", "-c", "advice.detachedHead=false", "-c", "filter.lfs.required=false",
)  # fmt: skip


@dataclass(frozen=True)
class Checkout:
    """What is needed to make the source."""

    spec: ScriptSpec
    source: Path
    """The script's directory: empty, its user's."""
    inputs: Path | None
    """Files that were uploaded for the job."""
    private: Path
    """For credentials, readable by the script's user."""
    secrets: Mapping[str, str]
    protocols: tuple[str, ...]
    env: Mapping[str, str]

    def make(self, runner: Runner) -> None:
        """Make the source.

        Raises:
            NotStartable: it cannot be had.
            Interrupted: nobody wants it any more.
        """
        code = self.spec.code
        if isinstance(code, ArchiveSource):
            self._unpack(runner)
        elif isinstance(code, BundleSource):
            self._from_bundle(runner, code)
        else:
            self._from_remote(runner, code)
        if not isinstance(code, ArchiveSource) and code.diff is not None:
            self._apply_diff(runner)

    def _unpack(self, runner: Runner) -> None:
        command = (sys.executable, "-I", "-S", archives.__file__, str(self._input("source.archive")), str(self.source))
        try:
            runner.run(Errand(command, self.env, self.source, _LOCAL_TIMEOUT_S, _LIMIT_BYTES))
        except ErrandFailed as error:
            raise NotStartable(f"the archive cannot be unpacked: {last_line(error.output) or error}") from error

    def _from_bundle(self, runner: Runner, code: BundleSource) -> None:
        self._git(runner, "init", "-q", "--template=", ".")
        bundle = str(self._input("source.bundle"))
        try:
            self._git(runner, "bundle", "unbundle", bundle)
        except ErrandFailed as error:
            raise NotStartable(f"the git bundle cannot be read: {last_line(error.output) or error}") from error
        self._check_out(runner, code.commit, "the bundle")

    def _from_remote(self, runner: Runner, code: GitSource) -> None:
        protocol = git_protocol(code.url)
        if protocol not in self.protocols:
            raise NotStartable(
                f"this node may not fetch by {protocol}, only by {', '.join(self.protocols)}: change code.url"
            )
        self._git(runner, "init", "-q", "--template=", ".")
        env = self._credentials(runner.account, code)
        try:
            self._fetch(runner, code, env)
        except ErrandFailed as error:
            raise NotStartable(_explain_fetch(code, error)) from error
        self._check_out(runner, code.commit, code.url)

    def _fetch(self, runner: Runner, code: GitSource, env: dict[str, str]) -> None:
        """Fetch the commit alone; from a server that does not hand out commits by hash, everything."""
        options = ("fetch", "-q", "--no-tags", "--no-recurse-submodules")
        allowed = ":".join(self.protocols)
        try:
            self._git(runner, *options, "--depth=1", "--", code.url, code.commit, protocols=allowed, env=env)
        except ErrandFailed as error:
            if not _says(error, _NO_SUCH_COMMIT) and "unadvertised object" not in error.output.lower():
                raise
            everything = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
            self._git(runner, *options, "--", code.url, *everything, protocols=allowed, env=env)

    def _check_out(self, runner: Runner, commit: str, origin: str) -> None:
        try:
            self._git(runner, "checkout", "-q", "--detach", commit)
        except ErrandFailed as error:
            if "reference is not a tree" in error.output or _says(error, _NO_SUCH_COMMIT):
                raise NotStartable(f"there is no commit {commit} in {origin}: push it, or name another") from error
            raise NotStartable(f"commit {commit} cannot be checked out: {last_line(error.output)}") from error

    def _apply_diff(self, runner: Runner) -> None:
        try:
            self._git(runner, "apply", "--whitespace=nowarn", "--", str(self._input("uncommitted.diff")))
        except ErrandFailed as error:
            raise NotStartable(
                f"the uncommitted changes do not apply to the commit: {last_line(error.output)}"
            ) from error

    def _credentials(self, account: Account, code: GitSource) -> dict[str, str]:
        """Write what git logs in with; the files die with the allocation."""
        env: dict[str, str] = {}
        if code.password_secret is not None:
            askpass = self.private / "askpass"
            askpass.write_text(
                '#!/bin/sh\ncase "$1" in Username*) printf %s "$GIT_USER";; *) printf %s "$GIT_PASS";; esac\n'
            )
            askpass.chmod(0o550)
            account.share(askpass)
            env |= {
                "GIT_ASKPASS": str(askpass),
                "GIT_USER": code.username,
                "GIT_PASS": self.secrets[code.password_secret],
            }
        if code.ssh_key_secret is not None:
            key, hosts = self.private / "ssh-key", self.private / "known-hosts"
            key.touch(mode=0o600)
            key.write_text(self.secrets[code.ssh_key_secret].rstrip() + "\n")  # ssh takes no key without its newline
            hosts.write_text(code.known_hosts.rstrip() + "\n" if code.known_hosts else "")
            account.give(key, hosts)
            checking = "yes" if code.known_hosts else "accept-new"
            options = {
                "IdentitiesOnly": "yes", "BatchMode": "yes", "ConnectTimeout": "20", "UserKnownHostsFile": str(hosts),
                "StrictHostKeyChecking": checking,
            }  # fmt: skip
            words = ["ssh", "-F", "/dev/null", "-i", str(key)]
            words += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
            env["GIT_SSH_COMMAND"] = shlex.join(words)
        return env

    def _git(self, runner: Runner, *arguments: str, protocols: str = "", env: Mapping[str, str] | None = None) -> str:
        own = {
            "GIT_ALLOW_PROTOCOL": protocols or "none",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "/bin/false",
            "SSH_ASKPASS": "/bin/false",
            "GIT_SSH_COMMAND": "ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=20",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "LC_ALL": "C.UTF-8",
        }
        errand = Errand(
            (*_GIT, *arguments), {**self.env, **own, **(env or {})}, self.source, _FETCH_TIMEOUT_S, _LIMIT_BYTES
        )
        return runner.run(errand)

    def _input(self, name: str) -> Path:
        if self.inputs is None:
            raise NotStartable(f"{name} was not uploaded with the job")
        return self.inputs / name


def _explain_fetch(code: GitSource, error: ErrandFailed) -> str:
    said = last_line(error.output)
    if _says(error, _NEEDS_CREDENTIALS):
        given = code.password_secret or code.ssh_key_secret
        if given is None:
            return (
                f"{code.url} needs credentials: name a secret in code.password_secret or code.ssh_key_secret ({said})"
            )
        return f"{code.url} refuses the credentials in the secret {given!r}: set it again ({said})"
    if _says(error, _NO_SUCH_COMMIT):
        return f"there is no commit {code.commit} in {code.url}: push it, or name another"
    return f"{code.url} cannot be fetched: {said or error}"


def _says(error: ErrandFailed, phrases: tuple[str, ...]) -> bool:
    said = error.output.lower()
    return any(phrase in said for phrase in phrases)
