"""How alike the tokens of one prompt are, as Figure E.1 of the paper.

`python -m iwp bench similarity --image F --question Q`
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from iwp import adapters, dual
from iwp.adapters.base import VLM
from iwp.bench import output
from iwp.dual.kernel import gaussian
from iwp.errors import InputError
from iwp.generate import look
from iwp.media import open_picture
from iwp.parser import Parser
from iwp.pruners import LayerView
from iwp.question import clean
from iwp.types import Media


@torch.no_grad()
def maps(vlm: VLM, media: Media, question: str, layer: int, last: int) -> dict[str, Tensor]:
    """Three similarities (Eq. 12) between the last tokens of a prompt before a layer.

    Returns:
        (m, m) float32 each, m = min(last, tokens): the kernel of keys after rotary, the cosine of
        values, and the squared dual similarity, means over heads; the diagonals are NaN.

    Raises:
        InputError: the model has no such layer.
    """
    layers = len(vlm.adapter.decoder_layers)
    if not 0 <= layer < layers:
        raise InputError(f"The model has layers 0 to {layers - 1}, not {layer}.")
    prepared = vlm.adapter.prepare(media, clean(question, vlm.processor.tokenizer))
    inputs = vlm.adapter.inputs(prepared, vlm.adapter.encode(prepared))
    found: dict[str, Tensor] = {}

    def note(number: int, view: LayerView) -> None:
        if number != layer:
            return
        keys = view.rotate(view.keys, view.prompt)[:, -last:]
        values = view.values[:, -last:]
        scale = dual.kernel_width(keys, vlm.pruner.get("bandwidth", "sqrt_d"))
        unit = F.normalize(values, dim=-1)
        found["kernel of keys"] = gaussian(keys, keys, scale).mean(0)
        found["cosine of values"] = (unit @ unit.transpose(1, 2)).mean(0)
        found["squared dual similarity"] = dual.duplication(keys, keys, values, values, scale)

    look(vlm.model, **inputs, note=note)
    return {name: matrix.cpu().fill_diagonal_(float("nan")) for name, matrix in found.items()}


def main(argv: list[str]) -> int:
    """Draw the three maps of one picture and question, and write them as CSV."""
    args = _parse(argv)
    folder = output.folder(args.out)
    media = open_picture(args.image)
    vlm = adapters.load(args.model)
    layer = vlm.pruner.get("layer", 4) if args.layer is None else args.layer
    found = maps(vlm, media, args.question, layer, args.last)
    for name, matrix in found.items():
        rows = [
            {"token": str(i), **{str(j): float(x) for j, x in enumerate(line)}}
            for i, line in enumerate(matrix)
        ]
        output.write_csv(folder / f"similarity-{name.replace(' ', '-')}.csv", rows)
        print(f"{name}: mean {float(matrix.nanmean()):.3f}")
    panels = {name: matrix.tolist() for name, matrix in found.items()}
    output.matrices(folder / "similarity.png", panels, f"last {args.last} tokens")
    print(f"wrote {folder / 'similarity.png'}")
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m iwp bench similarity", description=__doc__)
    parser.add_argument("--image", required=True, metavar="FILE")
    parser.add_argument("--question", required=True)
    parser.add_argument("--model", default="demo", help="demo, a local folder or a Hub id")
    parser.add_argument(
        "--layer", type=int, help="the decoder layer; the model's cut layer if not given"
    )
    parser.add_argument("--last", type=int, default=100, help="so many last tokens of the prompt")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder for the results")
    return parser.parse_args(argv)
