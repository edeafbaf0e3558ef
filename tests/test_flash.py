"""The flash attention path on a CPU: a plain kernel that takes what flash attention takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers.masking_utils import AttentionMaskInterface, flash_attention_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from iwp.pruners import IWP
from tests.families import FAMILIES
from tests.hiding import agree
from tests.prompts import SMALL, TALL, WIDE, batch

NAME = "flash_on_a_cpu"
PROMPTS = {
    "one": ((WIDE, "What is it?"),),
    "equal": ((WIDE, "What is it?"), (WIDE, "What is in?")),
    "unequal": ((WIDE, "What is it?"), (TALL, "and", SMALL, "differ how?")),
}


def kernel(
    module: Any, q: Tensor, k: Tensor, v: Tensor, attention_mask: Tensor | None, **call: Any
) -> tuple[Tensor, None]:
    """Causal to the lower right; a mask has one number for each key, or comes from the truth."""
    new, size = q.shape[2], k.shape[2]
    rows, columns = torch.arange(size - new, size)[:, None], torch.arange(size)
    allowed: Tensor = columns <= rows
    if attention_mask is not None and attention_mask.ndim == 2:
        assert attention_mask.shape[1] == size
        allowed = allowed & (attention_mask.bool()[:, None, None] | (columns == rows))
    elif attention_mask is not None:
        allowed = attention_mask == 0
    elif call.get("position_ids") is not None and q.shape[0] == 1:
        # Flash attention takes a jump for the beginning of another packed sequence.
        assert (call["position_ids"].diff() == 1).all()
    out = scaled_dot_product_attention(q, k, v, allowed, scale=call["scaling"], enable_gqa=True)
    return out.transpose(1, 2), None


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("prompts", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl"])
def test_flash_attention(
    monkeypatch: pytest.MonkeyPatch, family: str, prompts: Any, layer: int
) -> None:
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, NAME, kernel)
    monkeypatch.setitem(AttentionMaskInterface._global_mapping, NAME, flash_attention_mask)
    network = FAMILIES[family].model()
    network.get_decoder().config._attn_implementation = NAME
    agree(network, batch(FAMILIES[family], *prompts), IWP(budget=0.3, layer=layer))
