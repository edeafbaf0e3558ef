"""How much of a visual token's update another one's does already: Eq. 12 and its variants."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from iwp.dual.kernel import gaussian, kernel_width

Similarity = Callable[[Tensor, Tensor], Tensor]
"""(r,) and (m,) token numbers -> (r, m) duplication in [0, 1]."""


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
    return _mean_square(update_cosine(k_i, k_j, v_i, v_j, width))


def update_cosine(k_i: Tensor, k_j: Tensor, v_i: Tensor, v_j: Tensor, width: Tensor) -> Tensor:
    """(Hkv, n, m) cosines of the updates dW_i and dW_j (Eq. 12 before the square, Eq. 17).

    Arguments as for `duplication`, width (Hkv,).
    """
    return gaussian(k_i, k_j, width).mul_(cosine(v_i, v_j))


def similarity_between(
    kernel: Tensor | None, cosine_of: Tensor | None, width: Tensor | None = None
) -> Similarity:
    """The similarities of Table 3, as a function of token numbers.

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
    if kernel is not None and width is None:
        width = kernel_width(kernel)

    def similarity(rest: Tensor, new: Tensor) -> Tensor:
        factors = []
        if kernel is not None and width is not None:
            factors.append(gaussian(kernel[:, rest], kernel[:, new], width))
        if cosine_of is not None:
            factors.append(cosine(cosine_of[:, rest], cosine_of[:, new]))
        return _mean_square(reduce(Tensor.mul_, factors))

    return similarity


def cosine(x_i: Tensor, x_j: Tensor) -> Tensor:
    """(h, n, d), (h, m, d) -> (h, n, m) float32 cosines; a zero vector's are 0."""
    return _unit(x_i.float()) @ _unit(x_j.float()).transpose(1, 2)


def _mean_square(product: Tensor) -> Tensor:
    """(h, n, m), overwritten -> (n, m) mean of squares over heads."""
    return product.square_().mean(dim=0).clamp_(max=1.0)


def _unit(x: Tensor) -> Tensor:
    norms = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(norms > 0, norms, 1.0)
