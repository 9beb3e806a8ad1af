"""Attention by plain matrix products, for short texts on a CPU.

The backward pass of torch's fused attention in bf16 on a CPU takes ten times as long as these products
(measured with torch 2.13: 16 texts of 16 tokens, 12 heads, 16 ms against 1.2).
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from react_rl.learners.finetune.backbone.packing import Packing

ATTENTION: Final = "react_rl_products"
"""Name under which transformers knows it."""
_LANES: Final = 16
"""Shortest row that torch's softmax treats as a vector: shorter ones take it up to ten times as long."""


class _ShortSoftmax(torch.autograd.Function):
    """Softmax over a short last axis, one operation after another."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        """Map fp32 scores to shares."""
        shares = scores.sub(scores.amax(-1, keepdim=True)).exp_()
        shares.div_(shares.sum(-1, keepdim=True))
        ctx.save_for_backward(shares)
        return shares

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Gradient with respect to the scores."""
        shares: Tensor = ctx.saved_tensors[0]
        weighted = gradients[0] * shares
        return weighted.sub_(shares * weighted.sum(-1, keepdim=True))


def _softmax(scores: Tensor) -> Tensor:
    """Softmax over the last axis of fp32 scores; in bf16 it would take several times as long."""
    if scores.shape[-1] >= _LANES:
        return torch.softmax(scores, -1)
    shares: Tensor = _ShortSoftmax.apply(scores)  # type: ignore[no-untyped-call]
    return shares


def product_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    packing: Packing | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Softmax attention of ``(B, H, T, F)`` arrays, with the signature that transformers asks for.

    Args:
        module: The layer that asks; unused.
        query: ``(B, H, T, F)``.
        key: ``(B, G, T, F)`` with G a divisor of H.
        value: Like key.
        attention_mask: ``(B, 1, T, T)`` or ``(B, 1, 1, T)``, bool or additive; None lets every token see
            every token.
        dropout: Must be 0.
        scaling: Factor on the scores; None is F to the power of minus a half.
        packing: Where the tokens, ``(1, H, N, F)``, belong; None where they come in their rectangle.

    Returns:
        ``(B, T, H, F)``, or ``(1, N, H, F)``, and None for weights that are not kept.
    """
    heads, size = query.shape[1], query.shape[-1]
    if key.shape[1] != heads:
        key = key.repeat_interleave(heads // key.shape[1], 1)
        value = value.repeat_interleave(heads // value.shape[1], 1)
    scale = size**-0.5 if scaling is None else scaling
    if packing is None:
        q, k, v = (x.reshape(-1, *x.shape[2:]) for x in (query, key, value))
    else:
        q, k, v = (packing.to_heads(x.transpose(1, 2)) for x in (query, key, value))
    if attention_mask is None:
        scores = torch.bmm(q * scale, k.transpose(1, 2))
    else:
        mask = attention_mask
        if mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape, dtype=q.dtype, device=q.device).masked_fill_(~mask, -1e9)
        shift = mask.to(q.dtype).expand(len(q) // heads, heads, -1, k.shape[1]).flatten(0, 1)
        scores = torch.baddbmm(shift, q, k.transpose(1, 2), alpha=scale)
    mixed = torch.bmm(_softmax(scores.float()).to(v.dtype), v)
    if packing is not None:
        return packing.from_heads(mixed, heads), None
    return mixed.view(-1, heads, *mixed.shape[1:]).transpose(1, 2), None


def register() -> None:
    """Make the attention known to transformers, with the masks that its own plain attention gets."""
    from transformers import AttentionInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    AttentionInterface.register(ATTENTION, product_attention)
    # These masks are written out also where a kernel would know that attention is causal.
    ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, ALL_MASK_ATTENTION_FUNCTIONS["eager"])
