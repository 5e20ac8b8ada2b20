"""The causal language model: built from a config, or loaded from a local Hugging Face directory.

Code that a model directory carries is never run (``trust_remote_code`` is off) and weights are read from
safetensors only: a pickle is a program.
"""

import json
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers import LlamaConfig as HFLlamaConfig
from transformers.models.llama.modeling_llama import LlamaForCausalLM

from workers.contract.distillation import size_problem
from workers.contract.model_source import DistilledModel, LlamaConfig, TeacherLayers
from workers.contract.training import TrainSpec
from workers.runtime.compression.architecture import find_blocks, keep_blocks
from workers.runtime.compression.storage import is_compressed, load_compressed, make_dense
from workers.runtime.data.tokenizer import LoadedTokenizer
from workers.runtime.errors import UserError


def make_model(spec: TrainSpec, *, model_dir: Path | None, tokenizer: LoadedTokenizer) -> PreTrainedModel:
    """Build or load the model in fp32 in host memory; the same seed gives the same weights.

    Raises:
        UserError: the model directory is not one, or does not fit the tokenizer or the context length.
    """
    torch.manual_seed(spec.seed)
    if isinstance(spec.model, LlamaConfig):
        model = _build_llama(spec.model, spec.data.context_length, tokenizer, vocabulary=tokenizer.vocab_size)
    else:
        if model_dir is None:
            raise UserError("model.model: the run file names no model directory")
        model = load_pretrained(model_dir)
        _check_fit(model, spec, tokenizer)
        if isinstance(spec.model, DistilledModel):
            model = _make_student(spec.model, model, spec.data.context_length, tokenizer)
    model.config.use_cache = False
    if spec.activation_checkpointing:
        model.gradient_checkpointing_enable(  # type: ignore[no-untyped-call]
            gradient_checkpointing_kwargs={"use_reentrant": False}
        )
    model.train()
    return model


def _make_student(
    spec: DistilledModel, teacher: PreTrainedModel, context_length: int, tokenizer: LoadedTokenizer
) -> PreTrainedModel:
    """Build a student with the teacher's vocabulary, or make one of the teacher itself.

    Raises:
        UserError: there are no such blocks, or it has more parameters than it may.
    """
    teacher_parameters = count_parameters(teacher)
    if isinstance(spec.student, TeacherLayers):
        depth = len(find_blocks(teacher))
        if spec.student.layers[-1] >= depth:
            raise UserError(f"model.student.layers: the teacher has blocks 0 to {depth - 1}")
        keep_blocks(teacher, spec.student.layers)
        student = teacher
    else:
        student = _build_llama(spec.student, context_length, tokenizer, vocabulary=embedding_rows(teacher))
    problem = size_problem(spec, count_parameters(student), teacher_parameters)
    if problem:
        raise UserError(f"model.student: {problem}")
    return student


def _build_llama(
    config: LlamaConfig, context_length: int, tokenizer: LoadedTokenizer, *, vocabulary: int
) -> PreTrainedModel:
    return LlamaForCausalLM(
        HFLlamaConfig(
            vocab_size=vocabulary,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_kv_heads or config.num_heads,
            max_position_embeddings=context_length,
            tie_word_embeddings=config.tie_embeddings,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            bos_token_id=tokenizer.end_of_text_id,
            eos_token_id=tokenizer.end_of_text_id,
        )
    )


def load_pretrained(model_dir: Path) -> PreTrainedModel:
    """Load the causal language model of a directory as plain layers in fp32, whatever form they are stored in.

    Raises:
        UserError: the directory is not a model, or not one that can be loaded without running its code.
    """
    model = load_stored(model_dir, dtype=torch.float32)
    make_dense(model, torch.float32)
    return model


def load_stored(model_dir: Path, *, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """Load a model with its layers in the form in which they are stored, and in the stored type unless one is given.

    Raises:
        UserError: the directory is not a model, or not one that can be loaded without running its code.
    """
    config_path = model_dir / "config.json"
    if not config_path.is_file():
        raise UserError(f"model: {model_dir} is not a model directory: it has no config.json")
    try:
        config = json.loads(config_path.read_text(encoding="utf-8"))
        if "model_type" not in config:
            raise UserError(f"model: {config_path} names no model_type")
        if is_compressed(config):
            return load_compressed(model_dir)
        model = AutoModelForCausalLM.from_pretrained(
            model_dir, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=dtype or "auto"
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"model: {model_dir} cannot be loaded: {error}") from error
    assert isinstance(model, PreTrainedModel)
    return model


def _check_fit(model: PreTrainedModel, spec: TrainSpec, tokenizer: LoadedTokenizer) -> None:
    rows = embedding_rows(model)
    if tokenizer.vocab_size > rows:
        raise UserError(
            f"tokenizer: its {tokenizer.vocab_size} tokens do not fit the model's {rows} embeddings; "
            "use tokenizer.source=model, or a smaller vocabulary"
        )
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is not None and spec.data.context_length > longest:
        raise UserError(f"data.context_length: {spec.data.context_length} exceeds the model's {longest} positions")


def token_loss(logits_BCV: torch.Tensor, targets_BC: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy in nats per token, computed in fp32."""
    return nn.functional.cross_entropy(logits_BCV.flatten(0, 1).float(), targets_BC.flatten())


def embedding_rows(model: PreTrainedModel) -> int:
    """Return the size of the vocabulary the model has embeddings for."""
    embeddings = model.get_input_embeddings()
    assert isinstance(embeddings, nn.Embedding)
    return embeddings.num_embeddings


def count_parameters(model: nn.Module) -> int:
    """Count parameters once, tied ones included once."""
    return sum(parameter.numel() for parameter in model.parameters())
