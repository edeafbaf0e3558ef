"""The page's settings: what each may be, and what of a method or an answer it changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

from iwp.errors import InputError
from iwp.options import check_decoding, check_options
from iwp.pruners import IWP
from iwp.ui import text

if TYPE_CHECKING:
    from iwp.adapters.base import VLM
    from iwp.types import Decoding

_APART: Final = ("budget", "layer", "tolerance", "measure")  # the last two are for budget "auto"
OPTIONS: Final = tuple(one.name for one in fields(IWP) if one.name not in _APART)
"""IWP's options on the page, in the order of their fields."""
RECOMMENDED: Final = "recommended"
"""The value of the layer's menu that leaves it to the model's folder or the method."""
NAMES: Final = ("layer", "max_new_tokens", "temperature", *OPTIONS)
"""All settings, in the order of the panel's fields and of the events' inputs."""


@dataclass(frozen=True)
class Knobs:
    """What was changed from the recommended settings.

    Attributes:
        layer: the decoder layer that the right side cuts before; None for the recommended one.
        options: IWP's, where it is the right side's method.
        max_new_tokens: longest answer; None for the page's own limit.
        temperature: 0 for the likeliest tokens.
    """

    layer: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    max_new_tokens: int | None = None
    temperature: float = 0.0


def recommended(vlm: VLM, limit: int) -> dict[str, Any]:
    """The panel's values before anything is changed, by name.

    Args:
        vlm: the model, whose folder may recommend some.
        limit: the most tokens of an answer.
    """
    suited = IWP.suited(len(vlm.adapter.decoder_layers), vlm.pruner)
    method = IWP(**suited)
    options = {name: getattr(method, name) for name in OPTIONS}
    return {"layer": RECOMMENDED, "max_new_tokens": limit, "temperature": 0.0, **options}


def read(values: Sequence[Any], usual: Mapping[str, Any]) -> Knobs:
    """What the panel's fields say.

    Args:
        values: in the order of `NAMES`, as the browser sent them: anything.
        usual: from `recommended`.

    Raises:
        InputError: a value cannot be used.
    """
    if not values:
        return Knobs()
    said = {name: _number(value) for name, value in zip(NAMES, values, strict=True)}
    layer = said["layer"]
    decoding = decoding_of(said["max_new_tokens"], said["temperature"], usual)
    limit = decoding.max_new_tokens
    return Knobs(
        layer=None if layer in (None, RECOMMENDED) else layer_of(layer),
        options=options_of({name: said[name] for name in OPTIONS}, usual),
        max_new_tokens=limit if limit != usual["max_new_tokens"] else None,
        temperature=decoding.temperature,
    )


def layer_of(value: Any) -> int:
    """The layer to cut before.

    Raises:
        InputError: it is no number of a layer.
    """
    if type(value) is not int or value < 0:
        raise InputError(text.NO_LAYER.format(value))
    return value


def options_of(said: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """IWP's options that differ from the usual ones; emptied fields do not.

    Raises:
        InputError: there is no such option on the page, or its value cannot be used.
    """
    changed = {
        name: value
        for name, value in said.items()
        if value is not None and not (name in usual and value == usual[name])
    }
    if strange := changed.keys() - set(OPTIONS):
        raise InputError(text.NO_OPTION.format(", ".join(sorted(strange))))
    check_options(IWP, changed)
    IWP(**changed)  # refuses what is no choice of its
    return changed


def decoding_of(limit: Any, temperature: Any, usual: Mapping[str, Any]) -> Decoding:
    """How answers are to be written; fields that were emptied are the usual.

    Raises:
        InputError: a value cannot be used.
    """
    return check_decoding(
        usual["max_new_tokens"] if limit is None else limit,
        usual["temperature"] if temperature is None else temperature,
        most=usual["max_new_tokens"],
    )


def _number(value: Any) -> Any:
    """A whole number as one, whatever way the browser wrote it; an empty field as None."""
    if value == "":
        return None
    if type(value) is float and value.is_integer():
        return int(value)
    return value
