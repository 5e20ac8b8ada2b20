"""Running calibration samples through a model block by block.

Only the inputs of one block are kept, so the memory beside the model is one set of activations and the statistics of
one block (as GPTQ does it, arXiv:2210.17323, section 4). A block is on the device only while it is worked on; the
model may be larger than the device.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from workers.contract.compression.layers import CalibrationSpec
from workers.runtime.compression.architecture import Block, NamedLinear, find_blocks
from workers.runtime.compression.statistics import InputStatistics
from workers.runtime.data.sampler import Sampler
from workers.runtime.data.shards import TokenStream
from workers.runtime.errors import UserError


def draw_samples(stream: TokenStream, spec: CalibrationSpec) -> torch.Tensor:
    """Return ``num_samples`` different windows of the stream, int64 of shape (samples, length).

    Raises:
        UserError: the stream has fewer.
    """
    sampler = Sampler(stream, context_length=spec.length, seed=spec.seed)
    if sampler.num_samples < spec.num_samples:
        raise UserError(
            f"calibration: the dataset gives {sampler.num_samples} samples of {spec.length} tokens, "
            f"{spec.num_samples} are asked for: lower num_samples or length"
        )
    return sampler.draw(0, spec.num_samples).inputs_BC


class _FirstBlockReached(Exception):  # noqa: N818  ends a forward pass, no error
    pass


class BlockWalk:
    """Goes through the blocks with the activations that reach them.

    A caller changes the block it is given; what the next block sees comes out of the changed one, so later blocks make
    up for earlier ones.
    """

    def __init__(self, model: PreTrainedModel, samples_SC: torch.Tensor, batch_size: int, device: torch.device) -> None:
        self._model = model
        self._device = device
        self._hidden: list[torch.Tensor] = []
        self._options: dict[int, dict[str, Any]] = {}  # by rows in the batch: masks, positions
        self._blocks = find_blocks(model)
        with torch.no_grad():
            self._capture(samples_SC, batch_size)

    def __iter__(self) -> Iterator[Block]:
        """Yield each block, on the device; then run it on the samples for the next one."""
        for block in self._blocks:
            block.module.to(self._device)
            yield block
            with torch.no_grad():
                for index, hidden in enumerate(self._hidden):
                    self._hidden[index] = self._run(block.module, hidden)
            block.module.to("cpu")

    def collect(self, block: Block, layers: list[NamedLinear]) -> dict[str, InputStatistics]:
        """Run the block as it is; return the statistics of each layer's inputs by its name."""
        found: dict[str, InputStatistics] = {}
        seen: list[tuple[torch.Tensor, InputStatistics]] = []  # holds the inputs, so that no address is used twice
        leaders: set[str] = set()

        def watch(name: str, inputs: torch.Tensor) -> None:
            if name not in found:
                known = next((statistics for other, statistics in seen if other is inputs), None)
                if known is None:
                    known = InputStatistics(inputs.shape[-1], self._device)
                    seen.append((inputs, known))
                    leaders.add(name)
                found[name] = known
            if name in leaders:
                found[name].add(inputs)

        with _watching(layers, watch), torch.no_grad():
            for hidden in self._hidden:
                self._run(block.module, hidden)
                seen.clear()
        return found

    def turned_by(self, block: Block) -> float:
        """Return 1 - the mean cosine between what enters the block and what leaves it (arXiv:2403.03853, eq. 1)."""
        total, count = 0.0, 0
        with torch.no_grad():
            for hidden in self._hidden:
                cosine = nn.functional.cosine_similarity(
                    hidden.float(), self._run(block.module, hidden).float(), dim=-1
                )
                total, count = total + float(cosine.sum()), count + cosine.numel()
        return 1 - total / count

    def _run(self, block: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
        outputs = block(hidden, **self._options[hidden.shape[0]])
        result = outputs[0] if isinstance(outputs, tuple) else outputs
        assert isinstance(result, torch.Tensor)
        return result

    def _capture(self, samples_SC: torch.Tensor, batch_size: int) -> None:
        def stop(_: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
            hidden = args[0] if args else options.pop("hidden_states")
            self._hidden.append(hidden.to(self._device))
            self._options.setdefault(hidden.shape[0], _moved(options, self._device))
            raise _FirstBlockReached

        hook = self._blocks[0].module.register_forward_pre_hook(stop, with_kwargs=True)
        module: nn.Module = self._model
        try:
            for start in range(0, len(samples_SC), batch_size):
                try:
                    module(input_ids=samples_SC[start : start + batch_size], use_cache=False)
                except _FirstBlockReached:
                    continue
        finally:
            hook.remove()


@contextmanager
def _watching(layers: list[NamedLinear], watch: Any) -> Iterator[None]:
    hooks = [
        layer.module.register_forward_pre_hook(lambda _, args, name=layer.name: watch(name, args[0]))
        for layer in layers
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, tuple | list):
        return type(value)(_moved(item, device) for item in value)
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    return value
