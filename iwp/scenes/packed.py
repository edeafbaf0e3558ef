"""The model's forward for training: many short questions behind one picture, in one pass.

The same arithmetic as the transformers classes over their own parameters; a test holds both to the
same logits. Every segment (one question and its answer) sees the picture and itself, nothing else,
and starts at the position that follows the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlavaOnevisionForConditionalGeneration

from iwp.scenes.crops import GRID, PATCH, POOLED, tiling
from iwp.scenes.network import MEAN, STD


class Decoded(NamedTuple):
    """What the decoder makes of a prefix and its segments.

    Attributes:
        states: (B, K, L, width) of the segments, after the final norm.
        prefix: (B, P, width) of the prefix after the layers that some segments are blind in.
    """

    states: Tensor
    prefix: Tensor


@dataclass(frozen=True)
class Rotary:
    """cos and sin, (positions, head_dim), of the picture's prefix and of one segment after it."""

    prefix: tuple[Tensor, Tensor]
    segment: tuple[Tensor, Tensor]


def _turn(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rotary
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


def _attend(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """softmax(q k^T / sqrt(d)) v; (B, heads, T, d) each."""
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    # On CPUs two batched products train 1.5 times as fast as the fused kernel at these lengths.
    batch, heads, n, d = q.shape
    q, k, v = (x.reshape(batch * heads, n, d) for x in (q, k, v))
    scores = torch.bmm(q * d**-0.5, k.transpose(1, 2))
    if causal:
        future = torch.full((n, n), -1e4, dtype=q.dtype).triu(1)
        scores = scores + future
    return torch.bmm(scores.softmax(-1), v).view(batch, heads, n, d)


def _rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.float()
    normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return weight * normed.to(weight.dtype)


class PackedModel:
    """Runs `model`'s weights in `dtype`; gradients reach the model's own parameters."""

    def __init__(self, model: LlavaOnevisionForConditionalGeneration, dtype: torch.dtype) -> None:
        self.model, self.dtype = model, dtype
        self.text = model.config.text_config
        self.head = self.text.head_dim
        self._rotary: dict[tuple[int, int], Rotary] = {}

    def _linear(self, x: Tensor, layer: nn.Linear) -> Tensor:
        bias = None if layer.bias is None else layer.bias.to(self.dtype)
        return F.linear(x, layer.weight.to(self.dtype), bias)

    def embeddings(self) -> Tensor:
        """(vocabulary, width) tied word embeddings."""
        weight: Tensor = self.model.model.language_model.embed_tokens.weight
        return weight

    # --- picture ------------------------------------------------------------------------

    def vision(self, crops: Tensor) -> Tensor:
        """(n, CROP, CROP, 3) uint8 crops -> (n, GRID * GRID, width) projected features."""
        tower, projector = self.model.model.vision_tower, self.model.model.multi_modal_projector
        mean, std = (torch.tensor(v, device=crops.device) for v in (MEAN, STD))
        x = (crops.float() / 255 - mean) / std
        n = x.shape[0]
        x = (
            x.view(n, GRID, PATCH, GRID, PATCH, 3)
            .permute(0, 1, 3, 5, 2, 4)
            .reshape(n, GRID * GRID, -1)
        )
        patch = tower.embeddings.patch_embedding
        x = F.linear(
            x.to(self.dtype), patch.weight.to(self.dtype).flatten(1), patch.bias.to(self.dtype)
        )
        x = x + tower.embeddings.position_embedding.weight.to(self.dtype)
        for layer in tower.encoder.layers:
            x = x + self._tower_attention(self._layer_norm(x, layer.layer_norm1), layer.self_attn)
            hidden = self._linear(self._layer_norm(x, layer.layer_norm2), layer.mlp.fc1)
            x = x + self._linear(F.gelu(hidden, approximate="tanh"), layer.mlp.fc2)
        return self._linear(F.gelu(self._linear(x, projector.linear_1)), projector.linear_2)

    def _layer_norm(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        return F.layer_norm(
            x, norm.normalized_shape, norm.weight.to(self.dtype), norm.bias.to(self.dtype), norm.eps
        )

    def _tower_attention(self, x: Tensor, attention: Any) -> Tensor:
        n, t, width = x.shape
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        q, k, v = (
            self._linear(x, p).view(n, t, -1, attention.head_dim).transpose(1, 2)
            for p in projections
        )
        out = _attend(q, k, v, causal=False)
        return self._linear(out.transpose(1, 2).reshape(n, t, width), attention.out_proj)

    def pack(self, features: Tensor, size: tuple[int, int], batch: int) -> Tensor:
        """(batch * crops, GRID * GRID, width) -> (batch, visual tokens, width), row ends too."""
        t = tiling(size)
        width = features.shape[-1]
        features = features.view(batch, 1 + t.rows * t.cols, GRID * GRID, width)
        grid = (
            features[:, 1:]
            .reshape(batch, t.rows, t.cols, GRID, GRID, width)
            .permute(0, 1, 3, 2, 4, 5)
        )
        grid = grid.reshape(batch, t.rows * GRID, t.cols * GRID, width)
        height, wide = size
        if wide / height > t.cols / t.rows:
            cut = (t.rows * GRID - int(round(height * (t.cols * GRID / wide), 7))) // 2
            grid = grid[:, cut : t.rows * GRID - cut]
        else:
            cut = (t.cols * GRID - int(round(wide * (t.rows * GRID / height), 7))) // 2
            grid = grid[:, :, cut : t.cols * GRID - cut]
        ends = self.model.model.image_newline.to(self.dtype).expand(batch, grid.shape[1], 1, width)
        return torch.cat((features[:, 0], torch.cat((grid, ends), 2).flatten(1, 2)), 1)

    def pack_clip(self, features: Tensor, batch: int) -> Tensor:
        """(batch * frames, GRID * GRID, width) -> (batch, tokens, width): pooled, and one end."""
        width = features.shape[-1]
        maps = features.view(-1, GRID, GRID, width).permute(0, 3, 1, 2)
        pooled = F.interpolate(maps, size=(POOLED, POOLED), mode="bilinear")
        tokens = pooled.permute(0, 2, 3, 1).reshape(batch, -1, width)
        end = self.model.model.image_newline.to(self.dtype).expand(batch, 1, width)
        return torch.cat((tokens, end), 1)

    # --- text ---------------------------------------------------------------------------

    def _positions(self, prefix: int, length: int, device: torch.device) -> Rotary:
        key = (prefix, length)
        if key not in self._rotary:
            theta = self.text.rope_parameters["rope_theta"]
            rates = 1.0 / theta ** (
                torch.arange(0, self.head, 2, device=device).float() / self.head
            )

            def table(start: int, n: int) -> tuple[Tensor, Tensor]:
                angle = torch.arange(start, start + n, device=device)[:, None].float() * rates
                angle = torch.cat((angle, angle), -1)
                return angle.cos().to(self.dtype), angle.sin().to(self.dtype)

            self._rotary[key] = Rotary(table(0, prefix), table(prefix, length))
        return self._rotary[key]

    def decode(
        self,
        prefix: Tensor,
        segments: Tensor,
        hidden_from: Tensor | None = None,
        blind_layers: int = 0,
        blind: Tensor | None = None,
    ) -> Decoded:
        """Run the decoder over one prefix and its segments.

        Args:
            prefix: (B, P, width) embeddings of what every segment sees.
            segments: (B, K, L) token numbers.
            hidden_from: (P,) bool, the prefix rows that `blind` segments do not attend to.
            blind_layers: in so many first layers.
            blind: (K,) bool.
        """
        decoder, eps = self.model.model.language_model, self.text.rms_norm_eps
        batch, n_segments, length = segments.shape
        rotary = self._positions(prefix.shape[1], length, prefix.device)
        p, t = prefix.to(self.dtype), self.embeddings().to(self.dtype)[segments.flatten(1)]
        future = torch.ones(length, length, dtype=torch.bool, device=t.device).triu(1)
        mask = None
        if blind is not None and hidden_from is not None:
            rows = blind.repeat_interleave(length)
            mask = (rows[:, None] & hidden_from[None]).to(t.device)
        last, early = len(decoder.layers) - 1, p
        for i, layer in enumerate(decoder.layers):
            norm = layer.input_layernorm.weight.to(self.dtype)
            a, b = self._attention(
                _rms(p, norm, eps), _rms(t, norm, eps), layer.self_attn, rotary, n_segments, future,
                mask if i < blind_layers else None, skip_prefix=i == last,
            )  # fmt: skip
            t = t + b
            t = t + self._mlp(t, layer, eps)
            if i < last:  # nobody reads the prefix after the last layer's keys and values
                p = p + a
                p = p + self._mlp(p, layer, eps)
            if i == blind_layers - 1:
                early = p
        out = _rms(t, decoder.norm.weight.to(self.dtype), eps)
        return Decoded(out.view(batch, n_segments, length, -1), early)

    def _mlp(self, x: Tensor, layer: Any, eps: float) -> Tensor:
        h = _rms(x, layer.post_attention_layernorm.weight.to(self.dtype), eps)
        mlp = layer.mlp
        return self._linear(
            F.silu(self._linear(h, mlp.gate_proj)) * self._linear(h, mlp.up_proj), mlp.down_proj
        )

    def _attention(
        self,
        p: Tensor,
        t: Tensor,
        attention: Any,
        rotary: Rotary,
        n_segments: int,
        future: Tensor,
        mask: Tensor | None,
        skip_prefix: bool,
    ) -> tuple[Tensor, Tensor]:
        """Causal attention of the prefix over itself; of segments over it and themselves."""
        batch, n_prefix, _ = p.shape
        n_text, heads, kv, d = (
            t.shape[1],
            self.text.num_attention_heads,
            self.text.num_key_value_heads,
            self.head,
        )
        length = n_text // n_segments
        groups = heads // kv

        def split(x: Tensor, layer: nn.Linear, n: int) -> Tensor:  # (B, n, tokens, d)
            return self._linear(x, layer).view(batch, -1, n, d).transpose(1, 2)

        turn_text = tuple(table.repeat(n_segments, 1) for table in rotary.segment)
        qt = _turn(split(t, attention.q_proj, heads), turn_text)  # type: ignore[arg-type]
        kt = _turn(split(t, attention.k_proj, kv), turn_text)  # type: ignore[arg-type]
        vt = split(t, attention.v_proj, kv)
        kp = _turn(split(p, attention.k_proj, kv), rotary.prefix)
        vp = split(p, attention.v_proj, kv)
        out_p = p
        if not skip_prefix:
            qp = _turn(split(p, attention.q_proj, heads), rotary.prefix)
            kw, vw = (x.repeat_interleave(groups, 1) for x in (kp, vp))
            out_p = _attend(qp, kw, vw, causal=True)
            out_p = self._linear(
                out_p.transpose(1, 2).reshape(batch, n_prefix, -1), attention.o_proj
            )
        # Scores over (prefix | own segment), one softmax over both parts. Query heads of one key
        # head are stacked as rows, so keys and values are never repeated.
        q = qt.reshape(batch * kv, groups * n_text, d) * d**-0.5
        far = torch.bmm(q, kp.reshape(batch * kv, n_prefix, d).transpose(1, 2)).view(
            batch * kv, groups, n_text, n_prefix
        )
        if mask is not None:
            far = far.masked_fill(mask, -1e4)
        q_own = (
            q.view(batch * kv, groups, n_segments, length, d)
            .transpose(1, 2)
            .reshape(-1, groups * length, d)
        )
        k_own, v_own = (x.reshape(batch * kv * n_segments, length, d) for x in (kt, vt))
        near = torch.bmm(q_own, k_own.transpose(1, 2)).view(
            batch * kv, n_segments, groups, length, length
        )
        near = (
            near.masked_fill(future, -1e4)
            .transpose(1, 2)
            .reshape(batch * kv, groups, n_text, length)
        )
        weights = torch.cat((far, near), -1).softmax(-1)
        far, near = weights[..., :n_prefix], weights[..., n_prefix:]
        out = torch.bmm(far.reshape(batch * kv, -1, n_prefix), vp.reshape(batch * kv, n_prefix, d))
        near = (
            near.view(batch * kv, groups, n_segments, length, length)
            .transpose(1, 2)
            .reshape(-1, groups * length, length)
        )
        own = torch.bmm(near, v_own).view(batch * kv, n_segments, groups, length, d).transpose(1, 2)
        out = out.view(batch, kv, groups, n_text, d) + own.reshape(batch, kv, groups, n_text, d)
        out = out.reshape(batch, heads, n_text, d).transpose(1, 2).reshape(batch, n_text, -1)
        return out_p, self._linear(out, attention.o_proj)
