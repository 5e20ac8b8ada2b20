"""What the pages show beside commands: specs for the contract, settings for nginx and systemd."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.docs.blocks import DOCS, LANGUAGES, Block, blocks_of, pages
from workers.contract.distribution import DistributionSpec
from workers.contract.jobs import JOB_KINDS

BLOCKS = [block for page in pages() for block in blocks_of(page)]
_COMMAND = re.compile(r"^(?:cox|make|python|curl|pg_dump|pg_restore) ", re.MULTILINE)


def of_language(language: str) -> list[Block]:
    """The blocks of one language."""
    return [block for block in BLOCKS if block.language == language]


def test_every_fence_says_what_it_holds() -> None:
    assert [f"{block.page}:{block.line}" for block in BLOCKS if block.language not in LANGUAGES] == []


def test_commands_that_are_not_run_are_the_known_ones() -> None:
    shown = [block for block in of_language("text") if _COMMAND.search(block.body)]
    # a synopsis with its options; commands for a second machine, whose like is run in how-to/own-node.md; and what
    # needs a trained model's versions: tests/coxswain/test_cli.py and tests/runtime/jobs/test_export.py run those
    assert {(block.page, block.body.split()[1]) for block in shown} == {
        ("operator-guide.md", "up"),
        ("operator-guide.md", "exec"),
        ("user-guide.md", "model"),
        ("user-guide.md", "job"),
    }


@pytest.mark.parametrize("block", of_language("yaml"), ids=lambda block: f"{block.page}:{block.line}")
def test_specs_are_what_the_contract_takes(block: Block) -> None:
    content = yaml.safe_load(block.body)
    spec = content.get("spec", content)
    if "kind" in spec:
        JOB_KINDS[spec["kind"]].model_validate(spec)
    else:
        assert spec.keys() == {"distribution"}
        DistributionSpec.model_validate(spec["distribution"])


@pytest.mark.parametrize("block", of_language("ini"), ids=lambda block: block.title)
def test_services_start_a_command_that_there_is(block: Block) -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names have capitals
    unit.read_string(block.body)
    assert set(unit.sections()) == {"Unit", "Service", "Install"}
    program, *arguments = unit["Service"]["ExecStart"].split()
    assert Path(program).name == "cox"
    options = re.findall(r"--[a-z-]+", " ".join(arguments))
    words = [word for word in arguments if not word.startswith("-")][: 2 if options else 1]
    told = subprocess.run(["cox", *words, "--help"], capture_output=True, text=True, check=True, env=_environment())
    assert [option for option in options if option not in told.stdout] == []


def _environment() -> dict[str, str]:
    import os
    import sys

    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "200"}


def test_nginx_takes_the_configuration(tmp_path: Path) -> None:
    (block,) = of_language("nginx")
    config = block.body.replace("/etc/nginx/tls/", f"{tmp_path}/")
    depth = 0
    for line in config.splitlines():  # also where there is no nginx
        statement = re.sub(r"\s+#.*", "", line).strip()
        assert not statement or statement[-1] in "{};", line
        depth += statement.count("{") - statement.count("}")
    assert depth == 0
    nginx, openssl = shutil.which("nginx", path="/usr/sbin:/usr/bin"), shutil.which("openssl")
    if nginx is None or openssl is None:
        return
    names = [f"{tmp_path}/cox.example.org.{suffix}" for suffix in ("key", "crt")]
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=cox.example.org", "-days", "2"]
    subprocess.run([*made, "-keyout", names[0], "-out", names[1]], check=True, capture_output=True)
    whole = f"pid {tmp_path}/nginx.pid;\nerror_log {tmp_path}/error.log;\nevents {{}}\nhttp {{\n{config}}}\n"
    (tmp_path / "nginx.conf").write_text(whole)
    tried = subprocess.run([nginx, "-t", "-c", f"{tmp_path}/nginx.conf"], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr


def test_pages_show_pictures_that_there_are() -> None:
    for page in pages():
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file(), f"{page.relative_to(DOCS)} shows {target}"
