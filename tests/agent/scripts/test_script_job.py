"""Script jobs end to end on one node: real git, real users, real torch, real HTTP."""

import base64
import hashlib
import http.server
import io
import os
import tarfile
import textwrap
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.agent.scripts.conftest import SECRET, ScriptHost, eventually, exit_of
from tests.agent.stub_server import Stored
from workers.contract.manifest import FileRef, set_digest
from workers.contract.node_api import CheckpointReport, InputRef, Outcome, OutputReport, WishKind
from workers.contract.run import FailureKind

pytestmark = pytest.mark.timeout(240)
NO_COMMIT = "f" * 40

TRAIN = """
import os, signal, sys, time
import coxswain
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
run = coxswain.init(total_steps=5)
start = run.resume_step if run.resume_from else 0
is_first_round = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
print("uid", os.getuid(), "argument", sys.argv[1], "token", os.environ["TOKEN"], flush=True)
for step in range(start + 1, 6):
    dist.all_reduce(torch.ones(1))
    run.log({"loss": 1 / step}, step=step)
    if step == 2:
        os.makedirs("last", exist_ok=True)
        open("last/weights", "w").write("weights of step 2")
        run.checkpoint("last", step=2)
        dist.barrier()
    if is_first_round and step == 4 and run.rank == 1:
        sys.stdout.write("in two halves: " + os.environ["TOKEN"][:9])
        sys.stdout.flush()
        time.sleep(0.5)  # longer than the agent waits between two looks
        sys.stdout.write(os.environ["TOKEN"][9:] + "!")
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
if run.rank == 0:
    seen = []
    for path in sys.argv[2:]:
        try:
            os.listdir(path) if os.path.isdir(path) else open(path).read()
            seen.append(path)
        except OSError:
            pass
    (run.output / "sub").mkdir(exist_ok=True)
    (run.output / "sub" / "result.txt").write_text(f"{start} {seen} {open(os.environ['KEY_FILE']).read()}")
    os.symlink("/etc/passwd", run.output / "link")
dist.barrier()
dist.destroy_process_group()
"""


def said(stored: Stored) -> str:
    return stored.logs.get("-1.stdout", b"").decode()


def test_killed_rank_is_restarted_by_torch_and_the_results_arrive(host: ScriptHost) -> None:
    commit = host.repository.commit({"train.py": TRAIN})
    host.plane.secrets = {"token": SECRET}
    hidden = [str(host.folder / "node" / name) for name in ("node.json", "cache", "identity.json")]
    hidden += [str(host.folder / "token"), str(host.folder / "node" / "allocations")]
    spec = {
        "code": host.from_git(commit),
        "entry": {"run": "file", "path": "train.py"},
        "arguments": ["--hello", *hidden],
        "secrets": [
            {"deliver": "variable", "secret": "token", "variable": "TOKEN"},
            {"deliver": "file", "secret": "token", "variable": "KEY_FILE"},
        ],
        "max_restarts": 1,
    }
    stored = host.plane.add(host.order(spec, slots=2))
    report = exit_of(stored, timeout_s=150)
    assert report.outcome is Outcome.SUCCEEDED, (report.reason, said(stored), stored.logs)
    assert [step for step, _ in stored.points[0, "loss"]] == [1, 2, 3, 4, 5], "steps passed twice are told once"
    out = stored.logs["0.stdout"].decode().splitlines()
    assert len(out) == 2, "once before the kill, once after"
    uid = int(out[0].split()[1])
    assert out[0] == f"uid {uid} argument --hello token {'*' * len(SECRET)}"
    assert f"in two halves: {'*' * len(SECRET)}!" in stored.logs["1.stdout"].decode()
    assert SECRET.encode() not in b"".join(stored.logs.values())
    checkpoint = stored.of_type("checkpoint")[0]
    assert isinstance(checkpoint, CheckpointReport)
    assert (checkpoint.step, [file.path for file in checkpoint.manifest.files]) == (2, ["weights"])
    output = stored.of_type("output")[0]
    assert isinstance(output, OutputReport)
    assert [file.path for file in output.manifest.files] == ["sub/result.txt"]
    assert host.plane.blobs[output.manifest.files[0].sha256].decode() == f"2 [] {SECRET}"
    assert "left out of the output: 'link' is a link" in said(stored)
    assert stored.reports[-1].type == "exit"
    if os.geteuid() == 0:
        assert 64_000 <= uid < 65_000
        eventually(lambda: not [entry for entry in Path("/proc").iterdir() if _uid(entry) == uid])
    eventually(lambda: not list((host.folder / "node" / "allocations").iterdir()))


def _uid(entry: Path) -> int | None:
    try:
        return entry.stat().st_uid if entry.name.isdigit() else None
    except OSError:
        return None


STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(300)
"""
POLITE = """
import sys, time
import coxswain
run = coxswain.init()
print("listening", flush=True)
while not run.should_stop():
    time.sleep(0.05)
(run.output / "saved").write_text("in time")
"""


@pytest.mark.parametrize(
    ("program", "grace_period_s", "reason", "output"),
    [
        (STUBBORN, 2, "neither on the stop request nor on SIGTERM within its grace period of 2 s: it was killed", 0),
        (
            "import time; print('x', flush=True); time.sleep(300)",
            4,
            "did not act on the stop request; it ended on SIGTERM",
            0,
        ),
        (POLITE, 60, "ended after the stop request", 1),
    ],
    ids=["stubborn", "plain", "polite"],
)
def test_cancelled_script_is_asked_then_told_then_killed(
    host: ScriptHost, program: str, grace_period_s: float, reason: str, output: int
) -> None:
    commit = host.repository.commit({"wait.py": program})
    spec = {
        "code": host.from_git(commit), "entry": {"run": "module", "module": "wait"}, "grace_period_s": grace_period_s,
        "max_restarts": 3,
    }  # fmt: skip
    stored = host.plane.add(host.order(spec))
    eventually(lambda: stored.logs.get("0.stdout"))
    stored.wish = WishKind.STOP
    report = exit_of(stored)
    assert report.outcome is Outcome.STOPPED
    assert reason in report.reason
    assert len(stored.of_type("output")) == output


def test_own_packages_are_installed_once_and_seen_before_the_nodes(host: ScriptHost) -> None:
    _make_wheel(host.folder / "wheels", "tiny_pack", "1.0", "VALUE = 41")
    commit = host.repository.commit(
        {
            "use.py": "import tiny_pack, torch; print(tiny_pack.VALUE, torch.__version__)",
            "requirements.txt": "tiny-pack==1.0\n",
        }
    )
    spec = {
        "code": host.from_git(commit), "entry": {"run": "file", "path": "use.py"},
        "requirements": {"source": "file", "path": "requirements.txt"},
    }  # fmt: skip
    stored = host.plane.add(host.order(spec))
    report = exit_of(stored)
    assert report.outcome is Outcome.SUCCEEDED, (report.reason, said(stored), stored.logs)
    assert stored.logs["0.stdout"].startswith(b"41 2.")
    environments = list((host.folder / "node" / "environments").iterdir())
    assert len(environments) == 1
    built = (environments[0] / ".ready").stat().st_mtime_ns
    written_by = (environments[0] / "lib").stat().st_uid
    spec["requirements"] = {"source": "text", "text": "tiny-pack==1.0\n"}
    assert exit_of(host.plane.add(host.order(spec))).outcome is Outcome.SUCCEEDED
    assert (environments[0] / ".ready").stat().st_mtime_ns == built, "it was built once"
    assert written_by == os.geteuid(), "no script may change it"


def _make_wheel(folder: Path, name: str, version: str, code: str) -> None:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text)}\n")
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in (files | {f"{info}/RECORD": "".join(lines) + f"{info}/RECORD,,\n"}).items():
            archive.writestr(path, text)
    wheel.chmod(0o644)


class NeedsPassword(http.server.BaseHTTPRequestHandler):
    """A git host that knows nobody."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


def test_what_cannot_be_started_fails_with_what_to_change(host: ScriptHost) -> None:
    """One after the other on one node: each leaves it ready for the next."""
    commit = host.repository.commit({"ok.py": "print('ok')"})
    good = {"code": host.from_git(commit), "entry": {"run": "file", "path": "ok.py"}}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), NeedsPassword)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    closed = f"http://127.0.0.1:{server.server_port}/group/name.git"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"code": host.from_git(NO_COMMIT)}, f"there is no commit {NO_COMMIT}"),
        (
            {"code": {**host.from_git(commit), "url": closed}},
            "needs credentials: name a secret in code.password_secret",
        ),
        ({"code": {**host.from_git(commit), "url": "https://example.invalid/x.git"}}, "may not fetch by https"),
        ({"entry": {"run": "file", "path": "no/such.py"}}, "the source has no file no/such.py"),
        ({"requirements": {"source": "text", "text": "no-such-package==9.9"}}, "No matching distribution found"),
        ({"requirements": {"source": "text", "text": "-r other.txt"}}, "reads other files"),
        ({"requirements": {"source": "file", "path": "none.txt"}}, "the source has no plain file none.txt"),
        (
            {"secrets": [{"deliver": "variable", "secret": "unknown", "variable": "X"}]},
            "the project has no secret named unknown",
        ),
    ]
    try:
        for changes, message in cases:
            stored = host.plane.add(host.order({**good, **changes}))
            report = exit_of(stored)
            assert (report.outcome, report.failure_kind) == (Outcome.FAILED, FailureKind.USER), (message, report.reason)
            assert message in report.reason
    finally:
        server.shutdown()
        server.server_close()


def test_failing_script_says_why_and_too_much_output_is_no_success(host: ScriptHost) -> None:
    commit = host.repository.commit(
        {
            "fail.py": "import os\nraise SystemExit(f'wrong: {os.environ[\"TOKEN\"]}')",
            "big.py": "import os\nopen(os.environ['COX_OUTPUT'] + '/big', 'wb').write(bytes(2 << 20))",
        }
    )
    host.plane.secrets = {"token": SECRET}
    secrets = [{"deliver": "variable", "secret": "token", "variable": "TOKEN"}]
    spec = {"code": host.from_git(commit), "entry": {"run": "file", "path": "fail.py"}, "secrets": secrets}
    report = exit_of(host.plane.add(host.order(spec)))
    assert (report.outcome, report.failure_kind) == (Outcome.FAILED, FailureKind.USER)
    assert report.reason == f"rank 0 exited with code 1: wrong: {'*' * len(SECRET)}"
    report = exit_of(host.plane.add(host.order({**spec, "entry": {"run": "file", "path": "big.py"}})))
    assert (report.outcome, report.failure_kind) == (Outcome.FAILED, FailureKind.USER)
    assert "$COX_OUTPUT" in report.reason


def _upload(host: ScriptHost, files: dict[str, bytes]) -> tuple[InputRef, dict[str, dict[str, object]]]:
    refs = tuple(
        FileRef(path=name, size_bytes=len(data), sha256=host.plane.add_blob(data)) for name, data in files.items()
    )
    uploaded = {ref.path: {"sha256": ref.sha256, "size_bytes": ref.size_bytes} for ref in refs}
    return InputRef(role="source", name="source", digest=set_digest(refs), files=refs), uploaded


def test_archive_and_bundle_with_uncommitted_changes_are_run(host: ScriptHost) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        code = b"print('from the archive')"
        info = tarfile.TarInfo("run.py")
        info.size = len(code)
        archive.addfile(info, io.BytesIO(code))
    source, uploaded = _upload(host, {"source.archive": packed.getvalue()})
    entry = {"run": "file", "path": "run.py"}
    spec: dict[str, Any] = {"code": {"source": "archive", "archive": uploaded["source.archive"]}, "entry": entry}
    stored = host.plane.add(host.order(spec, inputs=(source,)))
    report = exit_of(stored)
    assert (report.outcome, stored.logs["0.stdout"]) == (Outcome.SUCCEEDED, b"from the archive\n"), report.reason

    commit = host.repository.commit({"run.py": "print('from the commit')\n"})
    bundle = host.folder / "source.bundle"
    host.repository.git("bundle", "create", "-q", str(bundle), "HEAD")
    (host.repository.folder / "run.py").write_text("print('not committed')\n")
    diff = host.repository.git("diff", "HEAD", "--binary") + "\n"
    host.repository.git("checkout", "-q", ".")
    source, uploaded = _upload(host, {"source.bundle": bundle.read_bytes(), "uncommitted.diff": diff.encode()})
    spec["code"] = {
        "source": "bundle", "bundle": uploaded["source.bundle"], "commit": commit, "diff": uploaded["uncommitted.diff"],
    }  # fmt: skip
    stored = host.plane.add(host.order(spec, inputs=(source,)))
    report = exit_of(stored)
    assert (report.outcome, stored.logs["0.stdout"]) == (Outcome.SUCCEEDED, b"not committed\n"), report.reason


def test_program_text_is_plain() -> None:
    for program in (TRAIN, STUBBORN, POLITE):
        compile(textwrap.dedent(program), "script", "exec")
