"""How much of a visual token's update another one's does already: Eq. 12 and its variants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import torch
from torch import Tensor

from iwp.dual.kernel import gaussian, gaussian_between, kernel_width, scaled

BLOCK = 2**24
"""Most numbers (heads x tokens x tokens) of one table of similarities: 64 MiB of float32."""

_LEAST = 16  # columns; products with one or a few may round equal rows differently


def duplication(
    k_i: Tensor, k_j: Tensor, v_i: Tensor, v_j: Tensor, bandwidth: Tensor | float | None = None
) -> Tensor:
    """How much of token i's update token j's does already (Eq. 12, squared).

    Args:
        k_i: (Hkv, n, d) keys after rotary.
        k_j: (Hkv, m, d).
        v_i: (Hkv, n, d) values.
        v_j: (Hkv, m, d).
        bandwidth: what squared key distances are divided by, one number or (Hkv,); by default
            the paper's 2 sqrt(d).

    Returns:
        (n, m) float32 in [0, 1]: the mean over heads of (cosine of values x Gaussian of keys)^2.
        A zero value is like no other.
    """
    width = (
        kernel_width(k_i) if bandwidth is None else torch.as_tensor(bandwidth, device=k_i.device)
    )
    return _mean_square(update_cosine(k_i, k_j, v_i, v_j, width)).clamp_(max=1.0)


def update_cosine(k_i: Tensor, k_j: Tensor, v_i: Tensor, v_j: Tensor, width: Tensor) -> Tensor:
    """(Hkv, n, m) cosines of the updates dW_i and dW_j (Eq. 12 before the square, Eq. 17).

    Arguments as for `duplication`, width (Hkv,).
    """
    return gaussian(k_i, k_j, width).mul_(cosine(v_i, v_j))


@dataclass(frozen=True)
class Similarity:
    """Tokens made ready to be compared with each other, by one of the similarities of Table 3.

    Whatever depends on one token alone is computed once, however often it is compared.

    Attributes:
        keys: (h, n, d) float32 what the Gaussian is of, see `iwp.dual.kernel.scaled`; None where
            the similarity has none.
        squares: (h, n) float32 their squared lengths; None as well.
        units: (h, n, d) float32 of length 1, or zero, for the cosine; None where it has none.
    """

    keys: Tensor | None = None
    squares: Tensor | None = None
    units: Tensor | None = None

    def take(self, tokens: Tensor) -> Similarity:
        """Some of the tokens, by their (m,) int64 numbers, in their order."""
        return self._each(lambda table: table[:, tokens])

    def table(self, others: Similarity) -> Tensor:
        """(n, m) float32 similarities in [0, 1] to m others."""
        return self._squares(others).clamp_(max=1.0)

    def most(self, others: Similarity) -> Tensor:
        """(n,) float32: how much each token is like the one of m others that it is most like.

        The others are compared some at a time, in tables of about `BLOCK` numbers: memory does not
        grow with n x m.
        """
        heads, n, _ = self._some.shape
        m = others._some.shape[1]
        blocks = -(-m // max(_LEAST, BLOCK // (heads * n)))
        edges = [m * block // blocks for block in range(blocks + 1)]  # all about as large
        parts = (others._part(start, stop) for start, stop in pairwise(edges))
        return reduce(torch.maximum, (self._squares(part).amax(1) for part in parts)).clamp_(max=1)

    @property
    def _some(self) -> Tensor:
        some = self.units if self.keys is None else self.keys
        if some is None:
            raise ValueError("a similarity needs keys or other vectors")
        return some

    def _part(self, start: int, stop: int) -> Similarity:
        return self._each(lambda table: table[:, start:stop])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Similarity:
        tables = (self.keys, self.squares, self.units)
        return Similarity(*(None if table is None else change(table) for table in tables))

    def _squares(self, others: Similarity) -> Tensor:
        """(n, m) mean of squares over heads; rounding may bring it above 1."""
        product: Tensor | None = None
        if self.units is not None and others.units is not None:
            product = self.units @ others.units.transpose(1, 2)
        if (
            self.keys is not None
            and self.squares is not None
            and others.keys is not None
            and others.squares is not None
        ):
            near = gaussian_between(self.keys, self.squares, others.keys, others.squares)
            product = near if product is None else near.mul_(product)
        if product is None:
            raise ValueError("a similarity needs keys or other vectors")
        return _mean_square(product)


def similarity_between(
    kernel: Tensor | None, cosine_of: Tensor | None, width: Tensor | None = None
) -> Similarity:
    """The similarities of Table 3 between tokens.

    The mean over heads of the square of: the Gaussian of `kernel`, times the cosine of
    `cosine_of`; what is None is left out. Keys and values give cos(dW_i, dW_j), which is
    `duplication`; keys as `kernel` alone cos(phi(k_i), phi(k_j)); keys, values or hidden states
    as `cosine_of` alone their plain cosines.

    Args:
        kernel: (h, n, d) keys of all tokens.
        cosine_of: (h, n, d) vectors of all tokens.
        width: (h,) of the Gaussian, see `kernel_width`; by default the paper's 2 sqrt(d).
    """
    if kernel is None and cosine_of is None:
        raise ValueError("a similarity needs keys or other vectors")
    keys, squares = None, None
    if kernel is not None:
        width = kernel_width(kernel) if width is None else width
        keys, squares = scaled(kernel, width, kernel.float().mean(dim=1, keepdim=True))
    return Similarity(keys, squares, None if cosine_of is None else _unit(cosine_of.float()))


def cosine(x_i: Tensor, x_j: Tensor) -> Tensor:
    """(h, n, d), (h, m, d) -> (h, n, m) float32 cosines; a zero vector's are 0."""
    return _unit(x_i.float()) @ _unit(x_j.float()).transpose(1, 2)


def _mean_square(product: Tensor) -> Tensor:
    """(h, n, m), overwritten -> (n, m) mean of squares over heads."""
    return product.square_().mean(dim=0)


def _unit(x: Tensor) -> Tensor:
    norms = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(norms > 0, norms, 1.0)
