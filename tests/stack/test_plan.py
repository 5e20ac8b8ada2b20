"""What `cox up` would run, without running it."""

import os
from pathlib import Path

import pytest

from coxswain.stack.paths import StackPaths
from coxswain.stack.plan import Plan, StackOptions, build_plan, probe_address
from coxswain.stack.postgres import PostgresServer
from coxswain.stack.redis import RedisServer
from coxswain.stack.secrets import load_secrets


def plan_of(options: StackOptions, **environment: str) -> Plan:
    """The plan of a stack in ``options.data_dir``."""
    paths = StackPaths(options.data_dir)
    paths.create()
    secrets = load_secrets(paths.secrets)
    return build_plan(
        options,
        paths,
        secrets,
        port=1,
        postgres=PostgresServer(paths.postgres, password=secrets.postgres_password),
        redis=RedisServer(paths.redis, password=secrets.redis_password),
        inherited={**os.environ, **environment},
    )


@pytest.mark.parametrize("is_lifted", [False, True])
def test_scripts_run_as_the_agent_only_where_the_operator_says_so(tmp_path: Path, is_lifted: bool) -> None:
    plan = plan_of(StackOptions(tmp_path, scripts_as_agent=is_lifted))
    assert plan.agent is not None
    assert ("--scripts-as-agent" in plan.agent.command()) is is_lifted


@pytest.mark.parametrize(("said", "is_believed"), [("0", False), ("1", True)])
def test_caller_names_its_address_only_behind_a_trusted_proxy(tmp_path: Path, said: str, is_believed: bool) -> None:
    web = next(spec for spec in plan_of(StackOptions(tmp_path), COX_TRUSTED_PROXY=said).servers if spec.name == "web")
    assert ("--proxy-headers" in web.command()) is is_believed
    assert ("--no-proxy-headers" in web.command()) is not is_believed


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:9"),
        ("0.0.0.0", "http://127.0.0.1:9"),
        ("10.0.0.5", "http://10.0.0.5:9"),
        ("fd00::5", "http://[fd00::5]:9"),
    ],
)
def test_stack_is_asked_where_it_listens(host: str, address: str) -> None:
    assert probe_address(host, 9) == address
