"""A small decoder with grouped-query attention, and samples to calibrate on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

import workers.runtime.compression  # noqa: F401  registers the methods
from workers.contract.compression.recipe import CompressSpec
from workers.contract.compression.result import CompressionResult
from workers.runtime.compression.recipe import apply_recipe
from workers.runtime.compression.session import Session
from workers.runtime.compression.storage import describe_in_config
from workers.runtime.memory import PeakMemory
from workers.runtime.parallel.parts import ModelParts

VOCABULARY, LENGTH = 96, 24


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one thread: small matrices on a busy machine wait for each other otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def model() -> PreTrainedModel:
    """Return a decoder of three blocks; four query heads share two key-value heads."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True, initializer_range=0.1,
    )  # fmt: skip
    built = LlamaForCausalLM(config)
    built.eval()
    built.config.use_cache = False
    return built


@pytest.fixture
def samples_SC() -> torch.Tensor:
    """Return token windows to calibrate on."""
    return torch.randint(0, VOCABULARY, (12, LENGTH), generator=torch.Generator().manual_seed(1))


Compress = Callable[..., CompressionResult]


@pytest.fixture
def compress(model: PreTrainedModel, samples_SC: torch.Tensor) -> Compress:
    """Return a function that applies steps to the model."""

    def apply(*steps: dict[str, Any], **fields: Any) -> CompressionResult:
        calibration = {"dataset": "x", "num_samples": 12, "length": LENGTH}
        spec = CompressSpec.model_validate({"model": "m", "recipe": steps, "calibration": calibration} | fields)
        session = Session(model, samples_SC=samples_SC, batch_size=5)
        return apply_recipe(session, spec, PeakMemory(torch.device("cpu")), lambda _: None)

    return apply


@pytest.fixture
def saved(model: PreTrainedModel, tmp_path: Path) -> Callable[[], Path]:
    """Return a function that writes the model as a job does."""

    def save() -> Path:
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(tmp_path)
        describe_in_config(tmp_path, model)
        tensors = {name: tensor.contiguous() for name, tensor in ModelParts((model,)).tensors().items()}
        save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
        return tmp_path

    return save


def embeddings_of(model: PreTrainedModel) -> torch.Tensor:
    """Return the weight of the embeddings."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight


def blocks_of(model: PreTrainedModel) -> Any:
    """Return the decoder blocks, whose parts are named as in the Llama family."""
    return model.get_submodule("model.layers")


def logits_of(model: PreTrainedModel, samples_SC: torch.Tensor) -> torch.Tensor:
    """Run the model."""
    with torch.no_grad():
        logits = model(input_ids=samples_SC).logits
    assert isinstance(logits, torch.Tensor)
    return logits


def correlated_inputs(num_tokens: int, in_features: int, *, seed: int = 0) -> torch.Tensor:
    """Return inputs (T, I) that share a few directions, as activations do."""
    generator = torch.Generator().manual_seed(seed)
    few = torch.randn(num_tokens, max(2, in_features // 4), generator=generator)
    mixing = torch.randn(few.shape[1], in_features, generator=generator)
    return few @ mixing + 0.1 * torch.randn(num_tokens, in_features, generator=generator)
