"""What tiny models of all families are made of: a byte-level tokenizer and lively weights."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests import tiny


@dataclass(frozen=True)
class Family:
    """How to make the tiny model of one family.

    Attributes:
        name: the `config.model_type`.
        model: (attention="sdpa", seed=0) -> a random model in evaluation mode and float32. Its
            attention is far from uniform, and only letters, digits and the space win the argmax.
        processor: () -> the real processor class around tiny parts.
        layers: decoder layers. Query heads share key/value heads.
    """

    name: str
    model: Callable[..., Any]
    processor: Callable[[], Any]
    layers: int = 6

    def inputs(
        self, question: str = "What is it?", images: Sequence[Image.Image] | None = None
    ) -> dict[str, Any]:
        """A processed prompt with its pictures, ready for `model(**inputs)`."""
        shown = [tiny.picture()] if images is None else list(images)
        content = [{"type": "image"} for _ in shown] + [{"type": "text", "text": question}]
        ready = self.processor()
        turn = [{"role": "user", "content": content}]
        text = ready.apply_chat_template(turn, add_generation_prompt=True)
        return dict(ready(text=text, images=shown or None, return_tensors="pt"))

    def save(self, folder: Path) -> Path:
        """Write model and processor so that the Auto classes load them from `folder`."""
        self.model().save_pretrained(folder)
        self.processor().save_pretrained(folder)
        return folder


def tokenizer(specials: Sequence[str], eos: str, pad: str, **named: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer without merges: 256 bytes, then the special tokens.

    `named` are special tokens that processors look up by attribute, such as image_token.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, normalized=False) for token in specials])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=eos, pad_token=pad, extra_special_tokens=named
    )


def enliven(network: Any, vocabulary: PreTrainedTokenizerFast, seed: int = 0) -> Any:
    """Random weights with far from uniform attention; only letters, digits and the space speak.

    Returns `network` in evaluation mode, with the vocabulary's end and padding tokens.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "embed_tokens" in name or name.endswith("image_newline"):
                weight.normal_(0.0, 1.0, generator=generator)
            elif weight.ndim >= 2:
                weight.normal_(0.0, 1.3 / weight[0].numel() ** 0.5, generator=generator)
            elif name.endswith("bias"):
                weight.normal_(0.0, 0.2, generator=generator)
        network.get_output_embeddings().weight[_silent_ids(vocabulary)] = 0.0
    network.generation_config.eos_token_id = vocabulary.eos_token_id
    network.generation_config.pad_token_id = vocabulary.pad_token_id
    return network.eval().requires_grad_(False)


def _silent_ids(vocabulary: PreTrainedTokenizerFast) -> list[int]:
    spoken = set(vocabulary.convert_tokens_to_ids([*string.ascii_letters, *string.digits, "Ġ"]))
    return [number for number in range(len(vocabulary)) if number not in spoken]
