"""Cold ranks die with whoever started them."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from workers.agent import launcher

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-I", "-S", sys.argv[1], "--", sys.executable, "-c",
                          "import sys, time; print('up', flush=True); time.sleep(60)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.faults
def test_program_dies_with_its_parent() -> None:
    command = [sys.executable, "-c", PARENT, str(Path(launcher.__file__))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        said = {parent.stdout.readline().strip(), parent.stdout.readline().strip()}
        assert "up" in said
        (pid,) = said - {"up"}
        child = psutil.Process(int(pid))
        parent.kill()
        deadline = time.monotonic() + 10
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_program_gets_its_arguments_and_its_exit_code_is_kept() -> None:
    command = [sys.executable, "-I", "-S", str(Path(launcher.__file__)), "--"]
    result = subprocess.run([*command, "/bin/sh", "-c", "echo $0; exit 3", "word"], capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (3, b"word\n")
