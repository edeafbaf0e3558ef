"""The messages a person sees: every error here carries one sentence with the way out."""

from __future__ import annotations


class IWPError(ValueError):
    """Something the person who runs IWP can put right; the text is one plain sentence."""


class InputError(IWPError):
    """The picture, the question or the budget cannot be used as given."""


class DeadlineError(IWPError):
    """The time that a run may hold the device was over before there was anything to show."""


class ModelError(IWPError):
    """The model cannot be loaded, or is of a kind that IWP does not know."""
