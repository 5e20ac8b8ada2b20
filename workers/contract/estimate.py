"""What a training run will take, told from its spec: parameters, memory of a rank, tokens of a step.

Weights, gradients and AdamW's two moments are fp32 and exact but for rounding where axes do not divide evenly
(Rajbhandari et al., arXiv:1910.02054, section 3.1). Activations are what a Llama block keeps for its backward pass with
fused attention, counted tensor by tensor (the method of Korthikanti et al., arXiv:2205.05198, section 4.1); a test
compares them with what torch keeps. Left out: the allocator's slack, buffers of collectives, gathered FSDP units.

Shapes: T = tokens of a micro-batch, H = hidden size, K = size of keys, I = MLP size, V = vocabulary.
"""

from dataclasses import dataclass

from workers.contract.distribution import DDP, FSDP, Degrees
from workers.contract.model_source import LlamaConfig
from workers.contract.training import Precision, TrainSpec

_FP32_BYTES = 4
_ADAMW_BYTES = 2 * _FP32_BYTES


@dataclass(frozen=True)
class ModelSize:
    """What of a decoder decides how much memory it takes."""

    num_parameters: int
    num_layers: int
    hidden_size: int
    key_size: int
    """Key-value heads x head dimension."""
    intermediate_size: int
    vocab_size: int


@dataclass(frozen=True)
class RankMemory:
    """Bytes on one rank."""

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations


def size_of(config: LlamaConfig, vocab_size: int) -> ModelSize:
    """Count the parameters of a decoder that is built from nothing; projections have no bias."""
    hidden = config.hidden_size
    key_size = hidden // config.num_heads * (config.num_kv_heads or config.num_heads)
    block = 2 * hidden * hidden + 2 * hidden * key_size + 3 * hidden * config.intermediate_size + 2 * hidden
    embeddings = vocab_size * hidden * (1 if config.tie_embeddings else 2)
    total = embeddings + config.num_layers * block + hidden
    return ModelSize(total, config.num_layers, hidden, key_size, config.intermediate_size, vocab_size)


def tokens_per_step(spec: TrainSpec, degrees: Degrees) -> int:
    """Count the tokens of all ranks between two updates."""
    return spec.micro_batch_size * spec.data.context_length * spec.gradient_accumulation * degrees.dp


def rank_memory(spec: TrainSpec, degrees: Degrees, model: ModelSize) -> RankMemory:
    """Estimate the memory of one rank; precision ``auto`` is taken as bf16, which it is on GPUs."""
    held = -(-model.num_parameters // (degrees.tp * degrees.pp))
    method = spec.distribution.data_parallel
    shards = degrees.dp_shard if isinstance(method, FSDP) else 1
    owners = shards if isinstance(method, DDP | FSDP) else degrees.dp  # ZeRO-1 shares out the optimizer alone
    return RankMemory(
        weights=held * _FP32_BYTES // shards,
        gradients=held * _FP32_BYTES // shards,
        optimizer=held * _ADAMW_BYTES // owners,
        activations=_activations(spec, degrees, model),
    )


def _activations(spec: TrainSpec, degrees: Degrees, model: ModelSize) -> int:
    num_tokens = spec.micro_batch_size * spec.data.context_length
    is_fp32 = spec.precision is Precision.FP32
    block = num_tokens * block_bytes_per_token(model, is_fp32=is_fp32) // degrees.tp
    layers = -(-model.num_layers // degrees.pp)
    if spec.activation_checkpointing:  # the input of every block, and one block at a time
        blocks = block + layers * num_tokens * model.hidden_size * _FP32_BYTES
    else:
        blocks = layers * block
    # logits, their copy in fp32 and its softmax
    logits = num_tokens * model.vocab_size * ((_FP32_BYTES if is_fp32 else 2) + _FP32_BYTES)
    return blocks + logits // (degrees.tp if spec.distribution.tensor_parallel.loss_parallel else 1)


def block_bytes_per_token(model: ModelSize, *, is_fp32: bool) -> int:
    """Count what one block keeps for backward of a token: around the norms in fp32, else in the pass's arithmetic."""
    width = _FP32_BYTES if is_fp32 else 2
    norms = 4 * model.hidden_size * _FP32_BYTES
    matrices = 5 * model.hidden_size + 2 * model.key_size + 4 * model.intermediate_size
    return norms + matrices * width
