"""Models: what a spec switches on is on, and a directory's weights are read but its code never runs."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from tests.runtime.ranks import tiny_train_spec
from workers.contract.training import TrainSpec
from workers.runtime.data.tokenizer import LoadedTokenizer
from workers.runtime.errors import UserError
from workers.runtime.model import load_pretrained, make_model

TOKENIZER = LoadedTokenizer(Tokenizer(WordLevel({str(n): n for n in range(64)}, "0")), end_of_text_id=0, digest="")


def _train_once(spec: TrainSpec) -> tuple[int, list[torch.Tensor]]:
    """Run one forward and backward; return the elements kept between the two, and the gradients."""
    model = make_model(spec, model_dir=None, tokenizer=TOKENIZER)
    parameters = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    tokens = torch.arange(48).reshape(2, 24) % 64
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(input_ids=tokens, labels=tokens).loss
    kept_bytes = sum(kept.values())
    loss.backward()
    return kept_bytes, [weight.grad for weight in model.parameters() if weight.grad is not None]


def test_activation_checkpointing_keeps_less_and_gives_the_same_gradients() -> None:
    spec = tiny_train_spec()
    (much, plain), (little, again) = (
        _train_once(TrainSpec.model_validate(spec | {"activation_checkpointing": is_on})) for is_on in (False, True)
    )
    assert little < much / 2
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))


def test_code_that_a_model_directory_brings_along_is_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    model_dir = tmp_path / "model"
    model_dir.mkdir()
    code = f"from pathlib import Path\nPath({str(ran)!r}).touch()\n"
    (model_dir / "configuration_own.py").write_text(code + "class OwnConfig: ...\n")
    (model_dir / "modeling_own.py").write_text(code + "class OwnModel: ...\n")
    config = {
        "model_type": "own",
        "auto_map": {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"},
    }
    (model_dir / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="cannot be loaded"):
        load_pretrained(model_dir)
    assert not ran.exists()
