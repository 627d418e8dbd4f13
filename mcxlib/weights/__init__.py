"""Networks as files: our own format, with a version and a card, read without running code."""

from mcxlib.weights.card import Card
from mcxlib.weights.format import Loaded, build, load, read_card, save
from mcxlib.weights.places import find

__all__ = ["Card", "Loaded", "build", "find", "load", "read_card", "save"]
