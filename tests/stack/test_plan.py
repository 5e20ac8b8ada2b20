"""What `cox up` would run, without running it."""

import os
from pathlib import Path

import pytest

from coxswain.stack.paths import StackPaths
from coxswain.stack.plan import StackOptions, build_plan
from coxswain.stack.postgres import PostgresServer
from coxswain.stack.redis import RedisServer
from coxswain.stack.secrets import load_secrets


@pytest.mark.parametrize("is_lifted", [False, True])
def test_scripts_run_as_the_agent_only_where_the_operator_says_so(tmp_path: Path, is_lifted: bool) -> None:
    paths = StackPaths(tmp_path)
    paths.create()
    secrets = load_secrets(paths.secrets)
    plan = build_plan(
        StackOptions(tmp_path, scripts_as_agent=is_lifted),
        paths,
        secrets,
        port=1,
        postgres=PostgresServer(paths.postgres, password=secrets.postgres_password),
        redis=RedisServer(paths.redis, password=secrets.redis_password),
        inherited=os.environ,
    )
    assert plan.agent is not None
    assert ("--scripts-as-agent" in plan.agent.command()) is is_lifted
