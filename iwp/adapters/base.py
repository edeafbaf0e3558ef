"""What differs between model families, as one interface: prompt, encoding, stop tokens, layers."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar, TypedDict

import torch
from torch import Tensor, nn

from iwp.errors import InputError
from iwp.tower import watch_of
from iwp.types import Media, Sampling, Tower, VisualLayout

STILLS_ONLY = "This model is shown still pictures here; choose a picture."


@dataclass(frozen=True)
class Prepared:
    """One prompt, ready for the vision tower and the decoder. All tensors are on the CPU.

    Attributes:
        input_ids: (1, S) int64 prompt, one placeholder id per visual token.
        visual: (n,) int64 ascending positions of the visual tokens in the prompt.
        layout: where each of the n visual tokens lies on the picture.
        vision: the tensors that the vision tower reads, by the model's own argument names.
        positions: (rows, 1, S) int64 rotary positions where the family has several rows of them
            (M-RoPE); None counts from 0. The answer goes on after the greatest of them.
    """

    input_ids: Tensor
    visual: Tensor
    layout: VisualLayout
    vision: Mapping[str, Tensor]
    positions: Tensor | None = None


class Inputs(TypedDict):
    """What the decoder reads of a prompt: the arguments of `iwp.generate.prefill` and `rank`.

    Attributes:
        embeds: (1, S, D) word embeddings with the visual features in their places.
        visual: (n,) int64 ascending positions of the visual tokens in the prompt, on the CPU.
        positions: (rows, 1, S) int64 rotary positions; None counts from 0.
        extra: more arguments of the text decoder, such as features for its later layers.
        tower: what the vision tower says of the visual tokens; None where nobody asked.
    """

    embeds: Tensor
    visual: Tensor
    positions: Tensor | None
    extra: Mapping[str, Any]
    tower: Tower | None


class Adapter(ABC):
    """A model family. Holds a loaded model and its processor and changes neither.

    Only one prompt at a time is handled: every tensor has batch size 1.
    """

    model_type: ClassVar[str]
    """The `config.model_type` that this family is registered under."""
    reads_clips: ClassVar[bool] = False
    """Whether the family is shown videos."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor
        # Fast tokenizers change themselves while they work: one thread at a time.
        self._tokenizing = threading.Lock()

    @property
    @abstractmethod
    def decoder_layers(self) -> nn.ModuleList:
        """The text decoder's layers, first to last."""

    @property
    def device(self) -> torch.device:
        """Where words are embedded, and so where inputs of the decoder belong."""
        embeddings: Any = self.model.get_input_embeddings()
        # Weights that accelerate has offloaded lie elsewhere and come for the call only.
        hook = getattr(embeddings, "_hf_hook", None)
        for part in (hook, *getattr(hook, "hooks", ())):
            if getattr(part, "execution_device", None) is not None:
                return torch.device(part.execution_device)
        place: torch.device = embeddings.weight.device
        return place

    @property
    def stop_ids(self) -> frozenset[int]:
        """Token ids that end an answer, as stock `generate()` takes them."""
        stop = self.model.generation_config.eos_token_id
        if stop is None:
            stop = self.processor.tokenizer.eos_token_id
        if stop is None:
            return frozenset()
        return frozenset([stop] if isinstance(stop, int) else stop)

    @property
    def sampling(self) -> Sampling:
        """How many frames of a video the model is shown, unless a person says.

        Raises:
            InputError: the family is shown still pictures only.
        """
        raise InputError(STILLS_ONLY)

    @abstractmethod
    def layout(self, width: int, height: int) -> VisualLayout:
        """Where the visual tokens of a picture of this size lie. Sizes in pixels."""

    @abstractmethod
    def prepare(self, media: Media, question: str) -> Prepared:
        """Build the prompt of the model's own chat template, and the vision tower's input.

        The question is plain text to the model whatever it contains: a special token typed
        by a person is spelled out, never obeyed. `iwp.question.clean` has been applied to it.

        Raises:
            InputError: the model cannot read this kind of media.
        """

    @abstractmethod
    def encode(self, prepared: Prepared) -> Tensor:
        """Run vision tower, projector and packing.

        Returns:
            (n, D) features on the model's device, in prompt order, row-end tokens included. A
            family with several feature maps for its decoder puts them side by side.
        """

    def encode_and_look(self, prepared: Prepared) -> tuple[Tensor, Tower]:
        """`encode`, and what the tower itself says of every token, in one pass of the tower.

        Raises:
            ModelError: IWP does not know this model's tower.
        """
        with watch_of(self.model).watching() as watch:
            features = self.encode(prepared)
            (tower,) = watch.take([prepared.layout.n])
        assert tower is not None, "a picture has visual tokens"
        return features, tower

    def inputs(self, prepared: Prepared, features: Tensor, tower: Tower | None = None) -> Inputs:
        """What the decoder reads, on the model's device, from what `prepare` and `encode` made.

        `tower` is what `encode_and_look` found; methods with `needs_tower` ask for it.
        """
        positions = prepared.positions
        return {
            "embeds": self.embed(prepared, features),
            "visual": prepared.visual,
            "positions": None if positions is None else positions.to(self.device),
            "extra": {},
            "tower": None if tower is None else tower.to(self.device),
        }

    def embed(self, prepared: Prepared, features: Tensor) -> Tensor:
        """Put the features (n, D) in their places among the word embeddings: (1, S, D)."""
        words: Tensor = self.model.get_input_embeddings()(prepared.input_ids.to(self.device))
        embeds = words.detach().clone()
        embeds[0, prepared.visual.to(embeds.device)] = features.to(embeds)
        return embeds

    def decode_text(self, ids: Iterable[int]) -> str:
        """The answer's text, special tokens left out."""
        text: str = self.processor.tokenizer.decode(list(ids), skip_special_tokens=True)
        return text.strip()


@dataclass(frozen=True)
class VLM:
    """A loaded vision-language model and everything needed to ask it something.

    Attributes:
        model: the transformers model, in eval mode, unchanged.
        processor: its processor.
        adapter: its model family.
        name: the id or folder name it was loaded from, for display.
        device: where it runs.
        attention: the attention kernel it runs with, such as "sdpa".
        pruner: IWP settings recommended for this model, e.g. {"layer": 4}; empty = the paper's.
        serial: tells loaded models apart, also two of the same files.
    """

    model: Any
    processor: Any
    adapter: Adapter
    name: str
    device: torch.device
    attention: str
    pruner: Mapping[str, Any] = field(default_factory=dict)
    serial: int = field(default_factory=count(1).__next__, compare=False)
