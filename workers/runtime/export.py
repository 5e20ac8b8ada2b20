"""The trained model in the Hugging Face layout, so that ``transformers`` loads it as it is."""

import json
import shutil
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import GenerationConfig, PretrainedConfig

from workers.contract.manifest import Manifest
from workers.runtime.compression.storage import describe_in_config
from workers.runtime.data.tokenizer import TOKENIZER_FILE, LoadedTokenizer
from workers.runtime.files import publish

MODEL_DIRECTORY = "model"
_COPIED = (
    TOKENIZER_FILE,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)


def export_model(
    output_dir: Path,
    weights: dict[str, Tensor],
    config: PretrainedConfig,
    tokenizer: LoadedTokenizer,
    *,
    model_dir: Path | None,
    model: nn.Module | None = None,
) -> Manifest:
    """Publish ``model/`` below ``output_dir``; a tokenizer of ``model_dir`` is copied as it is.

    ``weights`` are whole and by their Hugging Face names, tied ones once; ``config`` names its architecture. Where some
    layers are in smaller forms, ``model`` holds them: they are written as they are, and ``config.json`` says so.
    """
    return publish(
        output_dir / MODEL_DIRECTORY,
        lambda directory: write_model(directory, weights, config, tokenizer, model_dir=model_dir, model=model),
    )


def write_model(
    directory: Path,
    weights: dict[str, Tensor],
    config: PretrainedConfig,
    tokenizer: LoadedTokenizer,
    *,
    model_dir: Path | None,
    model: nn.Module | None,
) -> None:
    """Write what ``export_model`` publishes into an empty directory."""
    config.use_cache = True
    config.save_pretrained(directory)
    config.use_cache = False
    if model is not None:
        describe_in_config(directory, model)
    tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=tokenizer.end_of_text_id,
        eos_token_id=tokenizer.end_of_text_id,
        pad_token_id=tokenizer.end_of_text_id,
        do_sample=True,
    ).save_pretrained(directory)
    if model_dir is not None:
        for name in _COPIED:
            if (model_dir / name).is_file():
                shutil.copyfile(model_dir / name, directory / name)
    else:
        _write_tokenizer(directory, tokenizer, max_length=config.max_position_embeddings)


def _write_tokenizer(directory: Path, tokenizer: LoadedTokenizer, *, max_length: int) -> None:
    token = tokenizer.tokenizer.id_to_token(tokenizer.end_of_text_id)
    tokenizer.tokenizer.save(str(directory / TOKENIZER_FILE))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": token,
        "eos_token": token,
        "pad_token": token,
        "model_max_length": max_length,
        "clean_up_tokenization_spaces": False,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
