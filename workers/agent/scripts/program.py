"""One node's share of a script job: made ready, launched under torch's elastic agent, told how it ended."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import workers
from workers.agent.api import NodeApi, NotFound, Refused, Retry
from workers.agent.atomic import write_atomically
from workers.agent.beneath import UnsafeFile, open_beneath
from workers.agent.launch import AllocationPaths, LaunchPlan, NodeFacts, RankPlan, local_ranks, shared_env
from workers.agent.outcome import RankExit, Verdict
from workers.agent.redaction import Redactor
from workers.agent.scripts.accounts import MARK_VARIABLE, Account, Accounts, end_processes
from workers.agent.scripts.checkout import Checkout
from workers.agent.scripts.errands import Errand, ErrandFailed, NotStartable, Runner, as_account, last_line, read_end
from workers.agent.scripts.packages import Environments, Wanted
from workers.agent.scripts.places import Places
from workers.agent.scripts.results import TooMuchOutput, list_results
from workers.agent.scripts.verdict import RankFailure, StopCourse, judge_script
from workers.agent.settings import ScriptSettings, Timing
from workers.agent.warm import SIGKILL_CODE
from workers.contract.manifest import Manifest
from workers.contract.node_api import LaunchOrder, Outcome, WishKind
from workers.contract.run import FailureKind, RunFile
from workers.contract.scripting import FileEntry, RequirementsText, ScriptSpec, SecretFile

_MAX_REQUIREMENTS_BYTES = 1 << 20
_AGENTS_OWN = ("HOME", "USER", "LOGNAME", "TMPDIR", "VIRTUAL_ENV")
_LOOK = "import os, sys; os.stat(sys.argv[1])"
_SET_BY_TORCH = ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

__all__ = ["NotStartable", "ScriptNode", "ScriptProgram", "ScriptSettings", "make_script_node"]


@dataclass(frozen=True)
class ScriptNode:
    """What all scripts of a node share."""

    settings: ScriptSettings
    accounts: Accounts
    environments: Environments
    api: NodeApi
    facts: NodeFacts
    address: str


def make_script_node(
    settings: ScriptSettings, *, data_dir: Path, api: NodeApi, facts: NodeFacts, address: str
) -> ScriptNode:
    """Set scripts up on a node."""
    return ScriptNode(
        settings=settings,
        accounts=Accounts(settings.uids, as_agent=settings.as_agent),
        environments=Environments(data_dir / "environments", settings.python),
        api=api,
        facts=facts,
        address=address,
    )


class ScriptProgram:
    """Makes one script ready, and knows how to end and judge it."""

    def __init__(
        self,
        node: ScriptNode,
        order: LaunchOrder,
        paths: AllocationPaths,
        *,
        redactor: Redactor,
        is_interrupted: Callable[[], bool],
        say: Callable[[str], None],
    ) -> None:
        assert isinstance(order.spec, ScriptSpec)
        self._node = node
        self._order = order
        self._spec: ScriptSpec = order.spec
        self._places = Places(paths)
        self._redactor = redactor
        self._is_interrupted = is_interrupted
        self._say = say
        self._account: Account | None = None
        self._stack = ExitStack()
        self._problem: Verdict | None = None

    def prepare(self, inputs: Mapping[str, Path], retry: Retry) -> LaunchPlan:
        """Make the script ready to start. Long: it fetches and installs.

        Raises:
            NotStartable: it cannot be started as it was described, or not here.
            Interrupted, GaveUp: nobody wants it any more.
            StaleFence: the attempt is over.
            OSError: the disk is full or broken.
        """
        self._account = account = self._node.accounts.take()
        places = self._places
        places.make(account, local_ranks(self._order))
        secrets = self._fetch_secrets(retry)
        places.install_sdk(account)
        shown = {role: places.share_input(account, role, path) for role, path in inputs.items()}
        runner = Runner(account, places.private, self._is_interrupted)
        bare = self._bare_env()
        self._check_python(bare, runner)
        self._say("fetching the source")
        Checkout(
            self._spec,
            places.source,
            shown.get("source"),
            places.shared,
            secrets,
            self._node.settings.git_protocols,
            bare,
        ).make(runner)
        self._check_entry()
        own = self._own_variables(secrets, account)
        python = self._environment(runner, bare, own)
        return self._plan(account, python, self._script_env(python, own, shown))

    def recover(self) -> None:
        """Take up what an earlier life of the agent left: end it, and go on masking its logs."""
        try:
            uid = self._places.outputs.stat().st_uid
            self._redactor.add(json.loads(self._places.redactions.read_bytes()))
        except (OSError, ValueError):
            return  # it died before anything was started
        self._account = Account(uid if os.geteuid() == 0 else None)
        end_processes(self._account, str(self._order.allocation_id))

    def finish(self) -> Manifest | None:
        """End whatever it has left running, and list its results."""
        if self._account is None:
            return None
        end_processes(self._account, str(self._order.allocation_id))
        try:
            return list_results(self._places.outputs, self._account, self._node.settings.limits, self._say)
        except TooMuchOutput as error:
            self._problem = Verdict.failed(FailureKind.USER, str(error))
            return None

    @property
    def results(self) -> Path:
        """Where the files that ``finish`` listed are."""
        return self._places.outputs

    def timing(self, timing: Timing) -> Timing:
        """Give a stop half of the grace period before SIGTERM, and half between that and SIGKILL."""
        half_s = self._spec.grace_period_s / 2
        return replace(timing, stop_wish_s=half_s, stop_grace_s=half_s)

    def judge(
        self,
        exits: tuple[RankExit, ...],
        *,
        wish: WishKind | None,
        ending: Verdict | None,
        undelivered_results: str | None,
    ) -> Verdict:
        """Decide how it ended. ``ending`` is why the agent ended it, if it did."""
        launcher = exits[0]
        was_disobeyed = wish is WishKind.STOP and ending is not None and ending.outcome is Outcome.KILLED
        stop = None
        if wish is WishKind.STOP and (ending is None or was_disobeyed):
            stop = StopCourse(self._spec.grace_period_s, was_disobeyed, launcher.code == SIGKILL_CODE)
        interruption = None if was_disobeyed else ending
        launcher_said = last_line(read_end(self._places.paths.log(-1, "stdout")))
        verdict = judge_script(
            launcher, self._first_failure(), stop=stop, interruption=interruption,
            max_restarts=self._spec.max_restarts, launcher_said=launcher_said,
        )  # fmt: skip
        if interruption is not None or verdict.outcome is not Outcome.SUCCEEDED:
            return verdict
        if undelivered_results is not None:
            return Verdict.failed(
                FailureKind.SYSTEM, f"what it left in $COX_OUTPUT is not stored: {undelivered_results}"
            )
        return self._problem or verdict

    def close(self) -> None:
        """Let go of what it used; its directory is gone, or is about to be."""
        self._stack.close()
        if self._account is not None:
            self._node.accounts.give_back(self._account)

    def _fetch_secrets(self, retry: Retry) -> dict[str, str]:
        names = self._spec.secret_names
        if not names:
            return {}
        try:
            reply = retry.call(lambda: self._node.api.fetch_secrets(self._order.allocation_id))
        except (Refused, NotFound) as error:
            raise NotStartable(f"the secrets cannot be had: {error}") from error
        self._redactor.add(reply.values.values())
        write_atomically(self._places.redactions, json.dumps(list(reply.values.values())), mode=0o600)
        missing = [name for name in names if name not in reply.values]
        if missing:
            raise NotStartable(f"the project has no secret named {', '.join(missing)}: set it, or name another")
        return reply.values

    def _bare_env(self) -> dict[str, str]:
        """The environment of every errand: where programs are, a home of its own, and the job's mark."""
        inherited = {name: value for name, value in self._node.facts.inherited_env.items() if name not in _AGENTS_OWN}
        home = str(self._places.home)
        mark = {MARK_VARIABLE: str(self._order.allocation_id)}
        return {**inherited, "HOME": home, "TMPDIR": home, "USER": "script", "LOGNAME": "script", **mark}

    def _check_python(self, env: dict[str, str], runner: Runner) -> None:
        python = self._node.settings.python
        try:
            runner.run(
                Errand((str(python), "-I", "-c", _LOOK, str(self._places.source)), env, Path("/"), 60.0, 1 << 62)
            )
        except ErrandFailed as error:
            said = last_line(error.output)
            raise NotStartable(
                f"the users of scripts cannot run {python} or reach {self._places.source}: let everybody pass "
                f"through their parents, or have the operator name another interpreter with --script-python ({said})"
            ) from error

    def _check_entry(self) -> None:
        entry = self._spec.entry
        if isinstance(entry, FileEntry) and not (self._places.source / entry.path).is_file():
            raise NotStartable(f"the source has no file {entry.path}: correct entry.path")

    def _own_variables(self, secrets: Mapping[str, str], account: Account) -> dict[str, str]:
        """The job's variables and secrets by the names the script reads."""
        own = dict(self._spec.variables)
        for delivery in self._spec.secrets:
            value = secrets[delivery.secret]
            if isinstance(delivery, SecretFile):
                file = self._places.shared / f"secret-{delivery.secret}"
                file.touch(mode=0o600)
                file.write_text(value, encoding="utf-8")
                file.chmod(0o400)  # as ssh and others ask of a key
                account.give(file)
                value = str(file)
            own[delivery.variable] = value
        return own

    def _environment(self, runner: Runner, bare: dict[str, str], own: dict[str, str]) -> Path:
        """Return the interpreter with the script's packages; the environment is held until ``close``."""
        if self._spec.requirements is None:
            return self._node.settings.python
        pip = {name: value for name, value in (os.environ | own).items() if name.startswith("PIP_")}
        for name in [name for name in pip if name not in own and "@" in pip[name]]:
            del pip[name]  # the operator's password for an index is not the job's
        wanted = Wanted(self._requirements(), self._spec.system_packages, pip)
        self._say("installing the requirements, unless this node has them already")
        held = self._node.environments.using(wanted, runner, bare, str(self._order.allocation_id))
        return self._stack.enter_context(held)

    def _requirements(self) -> str:
        requirements = self._spec.requirements
        if isinstance(requirements, RequirementsText):
            return requirements.text
        assert requirements is not None
        try:
            with os.fdopen(open_beneath(self._places.source, requirements.path), "rb") as file:
                data = file.read(_MAX_REQUIREMENTS_BYTES + 1)
        except (FileNotFoundError, UnsafeFile) as error:
            raise NotStartable(f"requirements.path: the source has no plain file {requirements.path}") from error
        if len(data) > _MAX_REQUIREMENTS_BYTES:
            raise NotStartable(f"{requirements.path} is larger than a list of requirements can be")
        return data.decode("utf-8", "replace")

    def _script_env(self, python: Path, own: dict[str, str], shown: Mapping[str, Path]) -> dict[str, str]:
        order, places = self._order, self._places
        shared = shared_env(order, self._node.facts)
        env = {name: value for name, value in shared.items() if name not in (*_AGENTS_OWN, *_SET_BY_TORCH)}
        env |= self._bare_env() | own
        env["PATH"] = f"{python.parent}:{env.get('PATH', os.defpath)}"
        env["PYTHONPATH"] = ":".join([str(places.sdk), *filter(None, [own.get("PYTHONPATH")])])
        env |= {
            "COX_RUN_DIR": str(places.paths.output),
            "COX_OUTPUT": str(places.outputs),
            "COX_JOB_ID": str(order.job_id),
            "COX_ATTEMPT": str(order.attempt_number),
        }
        for role, variable in (
            ("dataset", "COX_DATASET_DIR"),
            ("model", "COX_MODEL_DIR"),
            ("checkpoint", "COX_RESUME_FROM"),
        ):
            if role in shown:
                env[variable] = str(shown[role])
        steps = [ref.step for ref in order.inputs if ref.role == "checkpoint" and ref.step is not None]
        return env | ({"COX_RESUME_STEP": str(steps[0])} if steps else {})

    def _plan(self, account: Account, python: Path, env: dict[str, str]) -> LaunchPlan:
        order, places, paths = self._order, self._places, self._places.paths
        elastic = places.sdk / "elastic.py"
        elastic.write_bytes((Path(workers.__file__).parent / "runtime" / "elastic.py").read_bytes())
        config = places.shared / "launch.json"
        entry = self._spec.entry
        target = [str(places.source / entry.path)] if isinstance(entry, FileEntry) else ["-m", entry.module]
        document = {
            "num_nodes": order.num_nodes, "node_rank": order.node_rank, "ranks_per_node": order.slots_per_node,
            "run_id": f"{order.job_id}-{order.attempt_number}", "endpoint": f"{order.master_addr}:{order.master_port}",
            "address": self._node.address, "max_restarts": self._spec.max_restarts,
            "scratch": str(places.home / "torch"),
            "failure_file": str(places.failure), "control_file": str(paths.control),
            "logs": str(paths.log(0, "stdout").parent), "cwd": str(places.source),
            "command": [str(python), *target, *self._spec.arguments],
        }  # fmt: skip
        config.write_text(json.dumps(document), encoding="utf-8")
        places.failure.touch()
        account.give(places.failure)
        for file in (elastic, config):
            file.chmod(0o640)
            account.share(file)
        log = paths.log(-1, "stdout")
        command = as_account((str(python), str(elastic), "launch", str(config)), env, account, places.private)
        first = local_ranks(order).start
        rank = RankPlan(rank=first, env={"PATH": os.defpath}, stdout=log, stderr=log)
        run_file = RunFile(spec=order.spec, output_dir=str(paths.output), cache_dir=str(self._node.facts.runtime_cache))
        return LaunchPlan(run_file, paths.run_file, paths.root, (rank,), None, command=command)

    def _first_failure(self) -> RankFailure | None:
        try:
            found = json.loads(self._places.failure.read_bytes())
            rank, code = int(found["rank"]), int(found["code"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if rank not in local_ranks(self._order):
            return None
        return RankFailure(rank, code, last_line(read_end(self._places.paths.log(rank, "stderr"))))
