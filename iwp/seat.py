"""The place of an engine's one model: taken, emptied and taken again."""

from __future__ import annotations

import gc
import time
import weakref
from typing import TYPE_CHECKING, Final

import torch

from iwp import measure
from iwp.adapters import check, load
from iwp.errors import ModelError

if TYPE_CHECKING:
    from iwp.adapters.base import VLM
    from iwp.settings import Settings

_PATIENCE_S: Final = 10.0  # for others who are just looking at the old model
_LOADING: Final = "Another model is being loaded; try again in a moment."
_NONE: Final = "No model is loaded; choose one under Settings."
_CHANGED: Final = "The model has been changed since; press Compare to ask the new one."


class Seat:
    """Holds the only lasting reference to a model. Who changes it holds the device lock.

    Attributes:
        source: the name that the model was loaded by.
        device: where it runs; without a model, where the last one did.
        threads: CPU threads that suit it.
    """

    def __init__(self, vlm: VLM, settings: Settings) -> None:
        self._settings = settings
        self._vlm: VLM | None = vlm
        self._absent = _NONE
        self.source = settings.model
        self.device = vlm.device
        self.threads = self._suited(vlm)

    @property
    def deadline_s(self) -> float:
        """Seconds that a run may hold the device."""
        return self._settings.deadline_s

    @property
    def vlm(self) -> VLM:
        """The model.

        Raises:
            ModelError: there is none at the moment.
        """
        vlm = self._vlm
        if vlm is None:
            raise ModelError(self._absent)
        return vlm

    def held(self, serial: int) -> VLM:
        """The model with this serial.

        Raises:
            ModelError: another one has taken its place.
        """
        vlm = self.vlm
        if vlm.serial != serial:
            raise ModelError(_CHANGED)
        return vlm

    def empty(self) -> None:
        """Let go of the model and wait until its memory is free, or somebody holds it for long."""
        gone = None if self._vlm is None else weakref.ref(self._vlm.model)
        self._absent = _LOADING
        self._vlm = None
        end = time.monotonic() + _PATIENCE_S
        gc.collect()  # models refer to themselves
        while gone is not None and gone() is not None and time.monotonic() < end:
            time.sleep(0.05)
            gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def check(self, source: str) -> None:
        """Refuse a model before the one that is there has to go.

        Raises:
            ModelError: there is no such model, or IWP does not know its family.
        """
        check(source, self._settings.revision_of(source))

    def take(self, source: str) -> None:
        """Load a model onto the empty seat.

        Raises:
            ModelError: it cannot be loaded; and what else loading it raises.
        """
        vlm = loaded(source, self._settings)
        self.threads = self._suited(vlm)
        self.source = source
        self.device = vlm.device
        self._vlm = vlm

    def settle(self) -> None:
        """Nothing more is being loaded: a seat that is empty now stays so."""
        self._absent = _NONE

    def _suited(self, vlm: VLM) -> int:
        return measure.cpu_threads(vlm.model, vlm.device, self._settings.threads)


def loaded(source: str, settings: Settings) -> VLM:
    """A model, placed as the settings say.

    Raises:
        ModelError: it cannot be loaded.
    """
    return load(source, **{**settings.loading, "revision": settings.revision_of(source)})
