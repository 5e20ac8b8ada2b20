"""How close an encoder's embeddings are to another's: the mean cosine over texts.

An embedding is the mean of a text's token vectors (mean pooling, as sentence-transformers do it: Reimers and Gurevych,
arXiv:1908.10084, section 3). Shapes: B = texts of a batch, C = tokens, D = hidden size.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoModel

from workers.runtime.data.documents import read_pieces, survey
from workers.runtime.data.sampler import spread
from workers.runtime.errors import UserError
from workers.runtime.evaluation.scoring import Arithmetic


def load_encoder(model_dir: Path) -> nn.Module:
    """Load an encoder in the type in which it is stored.

    Raises:
        UserError: the directory is not one, or not one that can be loaded without running its code.
    """
    try:
        model = AutoModel.from_pretrained(
            model_dir, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype="auto"
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"model: {model_dir} cannot be loaded: {error}") from error
    assert isinstance(model, nn.Module)
    return model.eval()


def texts_of(dataset: Path, *, num_samples: int, validation_pct: float) -> list[str]:
    """Return at most ``num_samples`` pieces of the dataset, evenly spread; with a share, of what it holds out."""
    found = survey(dataset)
    pieces = [
        piece.text
        for piece in read_pieces(dataset, found, validation_pct)
        if piece.is_validation or validation_pct == 0
    ]
    return [pieces[index] for index in spread(len(pieces), num_samples)]


@torch.inference_mode()
def cosines(
    model: nn.Module,
    reference: nn.Module,
    batches: Sequence[tuple[torch.Tensor, torch.Tensor]],
    device: torch.device,
    arithmetic: Arithmetic,
) -> Iterator[list[float]]:
    """Compare batch after batch of (ids, mask), both (B, C); yields the batch's cosines."""
    for ids_BC, mask_BC in batches:
        inputs = ids_BC.to(device), mask_BC.to(device)
        with arithmetic():
            ours_BD, theirs_BD = (_embed(each, *inputs) for each in (model, reference))
        if ours_BD.shape != theirs_BD.shape:
            raise UserError(
                f"reference: its embeddings have {theirs_BD.shape[1]} numbers, the model's {ours_BD.shape[1]}"
            )
        yield nn.functional.cosine_similarity(ours_BD.float(), theirs_BD.float(), dim=-1).tolist()


def encode(
    tokenizer: Tokenizer, texts: Sequence[str], *, length: int, batch_size: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Tokenize texts, cut to ``length`` tokens and padded per batch: ids and mask, both (B, C)."""
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding()
    found = []
    for start in range(0, len(texts), batch_size):
        encodings = tokenizer.encode_batch(list(texts[start : start + batch_size]))
        found.append(
            (torch.tensor([each.ids for each in encodings]), torch.tensor([each.attention_mask for each in encodings]))
        )
    return found


def _embed(model: nn.Module, ids_BC: torch.Tensor, mask_BC: torch.Tensor) -> torch.Tensor:
    hidden_BCD: torch.Tensor = model(input_ids=ids_BC, attention_mask=mask_BC).last_hidden_state
    weights_BC1 = mask_BC.unsqueeze(-1).to(hidden_BCD.dtype)
    return (hidden_BCD * weights_BC1).sum(1) / weights_BC1.sum(1).clamp_min(1)
