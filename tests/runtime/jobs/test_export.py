"""The ``export`` kind end to end, on a model that was just trained and on a compressed one."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.runtime.ranks import Launcher, Run
from workers.contract.export import OPSET
from workers.contract.run import FailureEvent, FailureKind, FinishedEvent, OutputEvent, ProgressEvent, ResultEvent
from workers.runtime.files import find_damage

pytestmark = pytest.mark.gloo

_PROMPT = "def "
_WITHOUT = """
import runpy, sys
sys.modules.update({name: None for name in ("torch", "transformers", "safetensors", "onnx", "workers")})
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def _spec(**target: Any) -> dict[str, Any]:
    return {"kind": "export", "model": "tiny_v1", "target": target}


def _only(run: Run, kind: type) -> Any:
    (event,) = [event for event in run.events() if isinstance(event, kind)]
    return event


@pytest.fixture(scope="module")
def bundle(trained: Run, rank_server: Any, tmp_path_factory: Any, corpus: Any, cache_dir: Any) -> Run:
    """Return a finished export as an edge bundle."""
    launcher = Launcher(rank_server, tmp_path_factory.mktemp("bundle"), corpus, cache_dir)
    run = launcher.run(_spec(format="edge_bundle"), model_dir=str(trained.output_dir / "model"))
    assert run.codes == [0], run.stderr()
    return run


def _unpack(run: Run, folder: Path) -> Path:
    with zipfile.ZipFile(run.output_dir / "export" / "edge-bundle.zip") as archive:
        archive.extractall(folder)
    return folder / "edge-bundle"


def _ask(program: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-I", "-c", _WITHOUT, str(program), *arguments]
    return subprocess.run(command, cwd="/", env={}, capture_output=True, text=True, timeout=60, check=False)


def test_bundle_answers_without_torch_as_torch_does(bundle: Run, trained: Run, tmp_path: Path) -> None:
    folder = _unpack(bundle, tmp_path)
    asked = _ask(folder / "run.py", _PROMPT, "--tokens", "12", "--temperature", "0", "--verify")
    assert asked.returncode == 0, asked.stderr
    original = trained.output_dir / "model"
    model: Any = AutoModelForCausalLM.from_pretrained(original)
    tokenizer = AutoTokenizer.from_pretrained(original)
    inputs = torch.tensor([tokenizer(_PROMPT, add_special_tokens=False)["input_ids"]])
    outputs = model.generate(inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=12, do_sample=False)
    wanted = tokenizer.decode(outputs[0, inputs.shape[1] :], skip_special_tokens=True)
    assert asked.stdout == f"{wanted}\n"


def test_bundle_says_what_it_is_and_notices_damage(bundle: Run, tmp_path: Path) -> None:
    folder = _unpack(bundle, tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["source"], manifest["opset"], manifest["precision"]) == ("tiny_v1", OPSET, "fp32")
    assert manifest["max_length"] == 32
    assert set(manifest["files"]) == {"model.onnx", "tokenizer.json", "run.py", "requirements.txt"}
    assert "onnxruntime==" in (folder / "requirements.txt").read_text()
    with (folder / "model.onnx").open("ab") as graph:
        graph.write(b"x")
    asked = _ask(folder / "run.py", _PROMPT, "--verify")
    assert asked.returncode == 1
    assert "damaged: model.onnx" in asked.stderr


def test_figures_and_files_of_a_bundle_are_reported(bundle: Run) -> None:
    event = _only(bundle, OutputEvent)
    assert event.directory == "export"
    assert [file.path for file in event.manifest.files] == ["edge-bundle.zip"]
    assert find_damage(bundle.output_dir / "export") is None
    result = _only(bundle, ResultEvent).result
    assert (result.format, result.precision, result.opset) == ("edge_bundle", "fp32", OPSET)
    assert result.requirement == "max_error at most 0.0001"
    assert len(result.checks) == 3
    assert all(check.max_error <= 1e-4 for check in result.checks)
    assert result.answer
    assert result.size_bytes == event.manifest.files[0].size_bytes
    assert [event.step for event in bundle.events() if isinstance(event, ProgressEvent)] == [0, 1, 2, 3]
    assert isinstance(bundle.events()[-1], FinishedEvent)


def test_compressed_version_leaves_in_its_layout_and_as_plain_layers(trained: Run, launcher: Launcher) -> None:
    recipe = [{"method": "rtn", "bits": 4, "group_size": 16}]
    compressed = launcher.run(
        {"kind": "compress", "model": "x", "recipe": recipe}, model_dir=str(trained.output_dir / "model")
    )
    assert compressed.codes == [0], compressed.stderr()
    source = str(compressed.output_dir / "model")
    stored = launcher.run(_spec(format="hugging_face"), model_dir=source)
    plain = launcher.run(_spec(format="hugging_face", dtype="bf16"), model_dir=source)
    assert stored.codes == plain.codes == [0], stored.stderr() + plain.stderr()
    config = json.loads((stored.output_dir / "export" / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == "compressed-tensors"
    assert all(check.max_error == 0 for check in _only(stored, ResultEvent).result.checks)
    tokens = torch.randint(0, 384, (2, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(stored.output_dir / "export")(input_ids=tokens).logits
        ours = AutoModelForCausalLM.from_pretrained(plain.output_dir / "export", dtype=torch.float32)
        assert torch.allclose(ours(input_ids=tokens).logits, theirs.float(), atol=0.05)
    with safe_open(plain.output_dir / "export" / "model.safetensors", framework="pt") as file:
        assert {str(file.get_slice(name).get_dtype()) for name in file.keys()} == {"BF16"}  # noqa: SIM118  no mapping
    assert json.loads((plain.output_dir / "export" / "config.json").read_text())["dtype"] == "bfloat16"
    assert AutoTokenizer.from_pretrained(plain.output_dir / "export").eos_token_id == 0


def test_export_that_is_not_near_enough_is_dropped(trained: Run, launcher: Launcher) -> None:
    spec = _spec(format="onnx", precision="int4", group_size=16, min_agreement=1.0)
    run = launcher.run(spec, model_dir=str(trained.output_dir / "model"))
    failure = run.events()[-1]
    assert isinstance(failure, FailureEvent)
    assert failure.kind is FailureKind.USER
    assert "wanted top1_agreement at least 1, got" in failure.message
    assert [path.name for path in run.output_dir.iterdir() if "export" in path.name] == []
