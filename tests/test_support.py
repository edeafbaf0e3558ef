"""Finding the cache in calls, under the keyword of every supported transformers."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn
from transformers import DynamicCache

from iwp.errors import IWPError
from iwp.support import cache_argument, cache_in, check_call

NAMES = ("cache", "past_key_values")


class Older(nn.Module):
    def forward(self, inputs_embeds: Any = None, past_key_values: Any = None, **_: Any) -> None: ...


class Newer(nn.Module):
    def forward(self, inputs_embeds: Any = None, cache: Any = None, **_: Any) -> None: ...


class Wrapped(nn.Module):
    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder
        self.decoder.layers = nn.ModuleList()
        self.decoder.config = None

    def get_decoder(self) -> nn.Module:
        return self.decoder

    def forward(self, *args: Any, **call: Any) -> None: ...


@pytest.mark.parametrize(("decoder", "name"), [(Newer, "cache"), (Older, "past_key_values")])
def test_the_decoder_tells_the_keyword(decoder: type[nn.Module], name: str) -> None:
    cache = DynamicCache()
    assert cache_argument(Wrapped(decoder()), cache) == {name: cache}


@pytest.mark.parametrize("name", NAMES)
def test_a_cache_is_found_under_either_keyword(name: str) -> None:
    cache = DynamicCache()
    assert cache_in({"use_cache": True, name: cache}) is cache
    assert cache_in({name: None}) is None


def test_a_call_without_a_cache() -> None:
    assert cache_in({"use_cache": True}) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_static_cache_is_refused_under_either_keyword(name: str) -> None:
    class Static:
        is_compileable = True

    with pytest.raises(IWPError, match="static"):
        check_call({name: Static()})
