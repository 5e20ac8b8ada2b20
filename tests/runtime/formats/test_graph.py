"""ONNX graphs against torch, in every precision, and refusals of what is not near enough."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from workers.contract.export import OPSET, OnnxOptions
from workers.runtime.errors import UserError
from workers.runtime.formats.graph import open_graph, opset_of, requirement_of, round_graph, write_graph
from workers.runtime.formats.reference import compare, require


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    """Return a decoder with grouped-query attention and embeddings that are not small."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=96, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=48, tie_word_embeddings=False, initializer_range=0.05,
    )  # fmt: skip
    built = LlamaForCausalLM(config)
    built.eval()
    return built


@pytest.fixture(scope="module")
def exact(model: PreTrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the graph in fp32."""
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    write_graph(path, model, OnnxOptions())
    return path


def test_graph_equals_torch_in_shapes_it_was_not_traced_with(model: PreTrainedModel, exact: Path) -> None:
    checks = compare(model, open_graph(exact), seed=1)
    assert [(check.batch, check.length) for check in checks] == [(1, 7), (3, 32), (8, 48)]
    require(requirement_of(OnnxOptions()), checks, "the graph")
    assert max(check.max_error for check in checks) < 1e-5
    assert all(check.top1_agreement == 1 for check in checks)
    assert opset_of(exact) == OPSET
    assert b".py" not in exact.read_bytes()  # no trace of our sources
    (output,) = onnx.load(str(exact)).graph.output
    assert all(dim.dim_param for dim in output.type.tensor_type.shape.dim[:2])  # free, by name


@pytest.mark.parametrize(("precision", "most_bytes", "least_agreement"), [("int8", 0.45, 0.9), ("int4", 0.35, 0.7)])
def test_rounded_graphs_are_smaller_and_of_the_same_opinion(
    model: PreTrainedModel, exact: Path, tmp_path: Path, precision: str, most_bytes: float, least_agreement: float
) -> None:
    path = tmp_path / "model.onnx"
    options = OnnxOptions.model_validate({"precision": precision})
    round_graph(exact, path, options)
    onnx.checker.check_model(str(path))
    checks = compare(model, open_graph(path), seed=1)
    require(requirement_of(options), checks, "the graph")
    assert all(check.max_error > 0 and check.top1_agreement >= least_agreement for check in checks)
    assert path.stat().st_size < most_bytes * exact.stat().st_size


def test_int4_holds_what_rounding_to_nearest_in_groups_gives(
    model: PreTrainedModel, exact: Path, tmp_path: Path
) -> None:
    """Unpack one matrix of the graph: every weight is within half a step of the original's."""
    path = tmp_path / "model.onnx"
    round_graph(exact, path, OnnxOptions(precision="int4", group_size=32))
    loaded = onnx.load(str(path)).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in loaded.initializer}
    node = next(node for node in loaded.node if node.op_type == "MatMulNBits")
    packed_OGB, scale_OG = tensors[node.input[1]], tensors[node.input[2]]
    nibbles = np.stack([packed_OGB & 15, packed_OGB >> 4], axis=-1).reshape(*packed_OGB.shape[:2], -1)
    real_OI = ((nibbles.astype(np.float32) - 8) * scale_OG.reshape(*packed_OGB.shape[:2], 1)).reshape(
        len(packed_OGB), -1
    )
    wanted = [module.weight.detach().numpy() for module in model.modules() if isinstance(module, torch.nn.Linear)]
    step = float(scale_OG.max())
    assert any(
        other.shape == real_OI.shape and np.abs(other - real_OI).max() <= 0.51 * abs(step) + 1e-6 for other in wanted
    )


def test_graph_of_other_weights_is_refused_with_the_figures(
    model: PreTrainedModel, exact: Path, tmp_path: Path
) -> None:
    damaged = onnx.load(str(exact))
    tensor = max(damaged.graph.initializer, key=lambda each: np.prod(each.dims))
    array = numpy_helper.to_array(tensor).copy()
    array[0] += 0.5
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(damaged, str(tmp_path / "model.onnx"))
    checks = compare(model, open_graph(tmp_path / "model.onnx"), seed=1)
    with pytest.raises(UserError, match=r"wanted max_error at most 0\.0001, got .*'max_error'"):
        require(requirement_of(OnnxOptions()), checks, "the graph")
    strict = OnnxOptions(precision="int8", min_agreement=1)
    worst = [check.model_copy(update={"top1_agreement": 0.99}) for check in checks]
    with pytest.raises(UserError, match="top1_agreement at least 1"):
        require(requirement_of(strict), tuple(worst), "the graph")
