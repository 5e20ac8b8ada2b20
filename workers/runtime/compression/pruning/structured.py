"""Structured pruning: whole blocks, MLP channels and attention heads go, so the tensors really get smaller.

Blocks: those that turn the residual stream least (Men et al., arXiv:2403.03853, section 3). Channels and heads: by the
norm of the weights that read them times the norm of what they carry (Wanda's score summed over a structure, as in An
et al., arXiv:2312.11983, section 3.2, without its bias compensation). Heads go with their key-value head, and every
block loses equally many, so that the result is an ordinary model of its family.

Shapes: O = output features, I = input features, D = dimensions of a head, H = kv groups, J = query heads of a group.
"""

import torch
from torch import nn

from workers.contract.compression.pruning import StructuredSpec
from workers.runtime.compression.architecture import LlamaBlock, NamedLinear, find_blocks, keep_blocks, stored_bytes
from workers.runtime.compression.registry import register
from workers.runtime.compression.session import Session
from workers.runtime.compression.statistics import InputStatistics, output_error, weight_error
from workers.runtime.errors import UserError


@register(StructuredSpec)
def apply_structured(session: Session, spec: StructuredSpec) -> None:
    """Remove blocks first, then channels and heads of those that stay.

    Raises:
        UserError: the model has too few of them, or is of a family whose parts are not known.
    """
    if spec.blocks:
        _remove_blocks(session, spec.blocks)
    if spec.mlp_ratio or spec.kv_groups:
        _narrow(session, spec)


def _remove_blocks(session: Session, count: int) -> None:
    blocks = find_blocks(session.model)
    if count >= len(blocks):
        raise UserError(f"blocks: the model has {len(blocks)} blocks, and one must stay")
    walk = session.walk()
    turned = []
    for done, block in enumerate(walk):
        session.on_progress(done / len(blocks))
        turned.append(walk.turned_by(block))
    gone = set(sorted(range(len(blocks)), key=turned.__getitem__)[:count])
    for index in sorted(gone):
        module = blocks[index].module
        nothing = torch.zeros(1, 1)
        session.report(blocks[index].name, nn.Identity(), nothing, stored_bytes(module), error=1.0)
    keep_blocks(session.model, [index for index in range(len(blocks)) if index not in gone])


def _narrow(session: Session, spec: StructuredSpec) -> None:
    config = session.model.config
    num_groups = config.num_key_value_heads
    if spec.kv_groups >= num_groups:
        raise UserError(f"kv_groups: the model has {num_groups} key-value heads, and one must stay")
    walk = session.walk()
    num_blocks = len(find_blocks(session.model))
    width = config.intermediate_size
    keep_width = max(spec.mlp_multiple, int(width * (1 - spec.mlp_ratio)) // spec.mlp_multiple * spec.mlp_multiple)
    for done, found in enumerate(walk):
        session.on_progress(done / num_blocks)
        block = LlamaBlock.of(session.model, found)
        readers = [NamedLinear(f"{block.name}.{path}", block.linear(path)) for path in _READERS]
        statistics = walk.collect(found, readers)
        o_known, down_known = (statistics[reader.name] for reader in readers)
        if spec.mlp_ratio and keep_width < width:
            _narrow_mlp(session, block, down_known, keep_width)
        if spec.kv_groups:
            _narrow_attention(session, block, o_known, num_groups, num_groups - spec.kv_groups)
    if spec.mlp_ratio:
        config.intermediate_size = min(width, keep_width)
    if spec.kv_groups:
        config.head_dim = block.module.get_submodule("self_attn").head_dim  # no longer hidden_size / heads
        config.num_attention_heads = config.num_attention_heads // num_groups * (num_groups - spec.kv_groups)
        config.num_key_value_heads = num_groups - spec.kv_groups


_READERS = ("self_attn.o_proj", "mlp.down_proj")


def _narrow_mlp(session: Session, block: LlamaBlock, known: InputStatistics, width: int) -> None:
    down = block.linear("mlp.down_proj")
    score_I = known.rms_I * down.weight.detach().float().norm(dim=0)
    kept = score_I.topk(width).indices.sort().values
    _cut(session, block, "mlp.gate_proj", rows=kept)
    _cut(session, block, "mlp.up_proj", rows=kept)
    _cut(session, block, "mlp.down_proj", columns=kept, known=known)


def _narrow_attention(
    session: Session, block: LlamaBlock, known: InputStatistics, num_groups: int, num_kept: int
) -> None:
    o_proj = block.linear("self_attn.o_proj")
    score_I = (known.rms_I * o_proj.weight.detach().float().norm(dim=0)).square()
    groups = score_I.view(num_groups, -1).sum(dim=1).topk(num_kept).indices.sort().values
    query = _members(groups, score_I.numel() // num_groups)
    key_value = _members(groups, block.linear("self_attn.k_proj").out_features // num_groups)
    _cut(session, block, "self_attn.q_proj", rows=query)
    _cut(session, block, "self_attn.k_proj", rows=key_value)
    _cut(session, block, "self_attn.v_proj", rows=key_value)
    _cut(session, block, "self_attn.o_proj", columns=query, known=known)


def _members(groups: torch.Tensor, size: int) -> torch.Tensor:
    """Return the features of these groups, ``size`` neighbours each."""
    return (groups[:, None] * size + torch.arange(size, device=groups.device)).flatten()


def _cut(
    session: Session,
    block: LlamaBlock,
    path: str,
    *,
    rows: torch.Tensor | None = None,
    columns: torch.Tensor | None = None,
    known: InputStatistics | None = None,
) -> None:
    """Keep some rows or columns of a layer, in place, and report it as if the rest were zero."""
    linear = block.linear(path)
    before_OI, bytes_before = linear.weight.detach(), stored_bytes(linear)
    dim, kept = (0, rows) if rows is not None else (1, columns)
    assert kept is not None
    linear.weight = nn.Parameter(before_OI.index_select(dim, kept).contiguous())
    if rows is not None and linear.bias is not None:
        linear.bias = nn.Parameter(linear.bias.detach().index_select(0, rows))
    linear.out_features, linear.in_features = linear.weight.shape
    padded_OI = torch.zeros_like(before_OI).index_copy_(dim, kept, linear.weight.detach())
    error = weight_error(before_OI, padded_OI) if known is None else output_error(before_OI, padded_OI, known)
    session.report(
        f"{block.name}.{path}",
        linear,
        linear.weight.detach(),
        bytes_before,
        error=error,
        is_of_outputs=known is not None,
    )
