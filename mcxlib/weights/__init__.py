"""Networks as files: our own format, with a version and a card, read without running code."""

from mcxlib.weights.card import Card
from mcxlib.weights.format import Loaded, build, load, read_card, save
from mcxlib.weights.start import begin_with

__all__ = ["Card", "Loaded", "begin_with", "build", "load", "read_card", "save"]
