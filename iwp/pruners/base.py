"""What a pruning method is asked (Pruner) and what it may look at (LayerView)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from iwp.budget import USUAL_BUDGET, Budget, check_budget, keep_count
from iwp.errors import InputError
from iwp.layer_average import Plan, budget_for
from iwp.types import Embeddings, Ranking, Tower

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


@dataclass(frozen=True)
class LayerView:
    """One decoder layer and the prompt that is about to enter it; nothing is computed unasked.

    Queries, keys and values are the layer's own projections of its normed input, for the rows
    that are needed only, and come in float32 whatever the model's dtype.

    Attributes:
        layer: the decoder layer (`input_layernorm`, `self_attn` with q, k and v projections).
        hidden: (S, D) the layer's input, one row per prompt position.
        cos: (S, r) rotary cosines of the rows, r <= head dim.
        sin: (S, r) rotary sines.
        visual: (n,) int64 ascending rows of the visual tokens.
        text: (T,) int64 rows of the text that asks: the text after the last visual token, or
            all text where nothing follows it.
        prompt: (p,) int64 rows of all tokens, padding left out.
        separators: (s,) int64 ascending numbers, among the visual tokens, of those that only end
            a row of a picture; None where nobody said which.
        previous: the same prompt as it entered the layer before, for methods with `looks_back`;
            None before layer 0 and for all others.
        final_norm: the norm after the decoder's last layer; None where nobody said which.
        n_uncut: visual tokens before the first cut of the prompt; None where that is this one.
        tower: what the vision tower says of the n visual tokens, for methods with `needs_tower`;
            None for all others.
        embeddings: what entered the decoder, for methods with `needs_embeddings`: of all N visual
            tokens before the first cut, and of the `text`; None for all others.
    """

    layer: nn.Module
    hidden: Tensor
    cos: Tensor
    sin: Tensor
    visual: Tensor
    text: Tensor
    prompt: Tensor
    separators: Tensor | None = None
    previous: LayerView | None = None
    final_norm: nn.Module | None = None
    n_uncut: int | None = None
    tower: Tower | None = None
    embeddings: Embeddings | None = None

    @property
    def n(self) -> int:
        """Number of visual tokens."""
        return self.visual.shape[0]

    @cached_property
    def visual_in_prompt(self) -> Tensor:
        """(n,) int64 numbers of the visual tokens among the `prompt` rows."""
        return torch.searchsorted(self.prompt, self.visual)

    @property
    def before(self) -> LayerView:
        """The view of the layer before, for methods with `looks_back`."""
        if self.previous is None:
            raise ValueError("nobody looked at the layer before")
        return self.previous

    @property
    def in_tower(self) -> Tower:
        """What the vision tower says, for methods with `needs_tower`."""
        if self.tower is None:
            raise ValueError("nobody looked at the vision tower")
        return self.tower

    @property
    def at_input(self) -> Embeddings:
        """What entered the decoder, for methods with `needs_embeddings`."""
        if self.embeddings is None:
            raise ValueError("nobody looked at what enters the decoder")
        return self.embeddings

    def queries(self, rows: Tensor) -> Tensor:
        """(H, len(rows), d) queries of ascending rows, before rotary."""
        return self._project("q", rows)

    def mean_query(self, rows: Tensor) -> Tensor:
        """(H, d) the mean of `queries(rows)`. Where nothing is normed, one row is projected."""
        if getattr(self.layer.self_attn, "q_norm", None) is not None:
            return self.queries(rows).mean(dim=1)
        mean = self._normed[rows].float().mean(dim=0, keepdim=True)
        return self._heads("q", mean.to(self._normed.dtype))[:, 0]

    @cached_property
    def keys(self) -> Tensor:
        """(Hkv, p, d) keys of the whole prompt before rotary."""
        return self._project("k", self.prompt)

    @cached_property
    def visual_keys(self) -> Tensor:
        """(Hkv, n, d) keys of the visual tokens before rotary."""
        return self.keys[:, self.visual_in_prompt]

    @cached_property
    def visual_values(self) -> Tensor:
        """(Hkv, n, d) values of the visual tokens."""
        return self._project("v", self.visual)

    @cached_property
    def values(self) -> Tensor:
        """(Hkv, p, d) values of the whole prompt."""
        return self._project("v", self.prompt)

    def rotate(self, heads: Tensor, rows: Tensor) -> Tensor:
        """Turn queries or keys (h, len(rows), d) to the positions of these rows."""
        cos, sin = self.cos[rows].float(), self.sin[rows].float()
        turned, plain = heads[..., : cos.shape[-1]], heads[..., cos.shape[-1] :]
        first, second = turned.chunk(2, dim=-1)
        turned = turned * cos + torch.cat((-second, first), dim=-1) * sin
        return torch.cat((turned, plain), dim=-1)

    def finally_normed(self, rows: Tensor) -> Tensor:
        """(len(rows), D) float32 rows of the input through the decoder's final norm."""
        if self.final_norm is None:
            raise ValueError("nobody said which norm is the final one")
        normed: Tensor = self.final_norm(self.hidden[rows].float())
        return normed.float().to(self.hidden.device)

    @cached_property
    def _normed(self) -> Tensor:
        normed: Tensor = self.layer.input_layernorm(self.hidden)  # type: ignore[operator]
        return normed

    def _project(self, kind: str, rows: Tensor) -> Tensor:
        normed = self._normed  # rows ascend: as many as there are, they are all and need no copy
        return self._heads(kind, normed if len(rows) == len(normed) else normed[rows])

    def _heads(self, kind: str, normed: Tensor) -> Tensor:
        attention: Any = self.layer.self_attn
        projected = getattr(attention, f"{kind}_proj")(normed)
        heads = projected.view(normed.shape[0], -1, attention.head_dim)
        norm = getattr(attention, f"{kind}_norm", None)
        by_head: Tensor = (heads if norm is None else norm(heads)).transpose(0, 1).float()
        return by_head


@dataclass(frozen=True)
class Choice:
    """What a cut leaves of n visual tokens.

    Attributes:
        kept: (m,) ascending int64 numbers of visual tokens, 0 .. n-1.
        scores: (n,) float32 scores before any penalty for redundancy; None where everything is
            kept or the method has none.
        rows: (m, D) float32 what the kept tokens' rows of the layer's input become; None leaves
            them as they are.
        sizes: (m,) float32 how many tokens each kept one stands for: from this layer on, and for
            the whole answer, the logarithm is added to the attention scores of its key. None adds
            nothing.
        into: (n,) int64 for every token the number of the kept token that it goes into, its own
            where it is kept, -1 where it is dropped; None where nothing merges.
    """

    kept: Tensor
    scores: Tensor | None = None
    rows: Tensor | None = None
    sizes: Tensor | None = None
    into: Tensor | None = None


@dataclass(frozen=True)
class Pruner(ABC):
    """A method that says which visual tokens of a prompt to keep. Immutable and stateless.

    Class variables: `name` in the registry; `paper`, its arXiv number, where there is one; `keeps`,
    what it keeps, in words for the table of methods; `budget_is`, what its budget is, in words;
    `finds_budget`, whether budget "auto" is allowed; `own_layer`, whether it was published for the
    layer that is its default, so that a layer recommended for IWP is not for it; `looks_back`,
    whether it needs `LayerView.previous`, and a cut before layer 1 or later; `needs_tower` and
    `needs_embeddings`, whether it needs `LayerView.tower` and `LayerView.embeddings`; `merges`,
    whether it puts tokens together; `nested`, whether a budget keeps exactly the tokens that `rank`
    places first. Where it does not, `select` is the authority and may keep another number than it
    is told, and the tokens that it keeps at the method's own budget rank first.

    Attributes:
        budget: the fraction of visual tokens to keep, 0 < budget <= 1; "auto" where the method
            finds it for every prompt.
        layer: the cut comes before this decoder layer, counted from 0; 0 cuts what enters the
            decoder, and the number of layers means no cut at all.
    """

    name: ClassVar[str]
    paper: ClassVar[str | None] = None
    keeps: ClassVar[str]
    budget_is: ClassVar[str] = "the fraction left at the cut"
    finds_budget: ClassVar[bool] = False
    own_layer: ClassVar[bool] = False
    looks_back: ClassVar[bool] = False
    needs_tower: ClassVar[bool] = False
    needs_embeddings: ClassVar[bool] = False
    merges: ClassVar[bool] = False
    nested: ClassVar[bool] = True

    budget: Budget = USUAL_BUDGET
    layer: int = 4

    def __post_init__(self) -> None:
        if not (self.finds_budget and self.budget == "auto"):
            object.__setattr__(self, "budget", check_budget(self.budget))  # "0.2" is no number yet
        if self.layer < 0:
            raise InputError(f"Cut before layer 0 or a later one, not before layer {self.layer}.")
        if self.looks_back and self.layer == 0:
            raise InputError(
                f"{type(self).__name__} looks at the layer before the cut: there is none before "
                "layer 0, cut before layer 1 or a later one."
            )

    @classmethod
    def suited(
        cls,
        layers: int,  # noqa: ARG003 - for methods whose place depends on the depth
        recommended: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The settings for a model, where its folder recommends some for IWP.

        Args:
            layers: how many its decoder has.
            recommended: IWP's settings.

        Returns:
            Those that this method has too; the layer only where the method has no own.
        """
        known = {field.name for field in fields(cls)} - ({"layer"} if cls.own_layer else set())
        return {key: value for key, value in recommended.items() if key in known}

    @property
    def cuts(self) -> tuple[Pruner, ...]:
        """The method's cuts, first to last, before ascending layers: itself, where it cuts once.

        Each is asked to `choose` among the tokens that the one before has left. `rank` and `select`
        speak of the first cut.
        """
        return (self,)

    def plan(self, n: int) -> Plan:
        """What every cut leaves of n visual tokens, without looking at them."""
        return ((self.layer, keep_count(n, check_budget(self.budget))),)

    def at_average(self, average: float, n: int, layers: int) -> Pruner:
        """This method where its layer average is nearest to `average`: see `budget_for`.

        Args:
            average: the fraction of visual tokens that a layer reads on average.
            n: visual tokens of the prompt.
            layers: the decoder's layers.

        Raises:
            InputError: the method cannot read so little.
        """
        budget, _ = budget_for(
            average, lambda at: replace(self, budget=at).plan(n), n, layers, type(self).__name__
        )
        return replace(self, budget=budget)

    @abstractmethod
    def rank(self, view: LayerView) -> Ranking:
        """Put all visual tokens in the order in which they would be kept, on the view's device."""

    def choose(self, view: LayerView) -> Choice:
        """Choose the visual tokens that the budget keeps."""
        keep = keep_count(view.n, check_budget(self.budget))
        if keep == view.n:
            return Choice(torch.arange(view.n, device=view.visual.device))
        return Choice(*self.select(view, keep))

    def select(self, view: LayerView, keep: int) -> tuple[Tensor, Tensor | None]:
        """Choose `keep` visual tokens: exactly those that `rank` places before rank `keep`.

        A method that is not `nested` chooses by rules of its own.

        Returns:
            (keep,) ascending int64 numbers of visual tokens, 0 .. n-1, and the (n,) float32
            scores before the redundancy penalty, or None where the method has no scores.
        """
        ranking = self.rank(view)
        return (ranking.ranks < keep).nonzero().flatten(), ranking.scores
