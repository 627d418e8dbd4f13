"""Synthetic demonstration data: drawn people, manipulated, as H.264 files in four layouts."""

from .build import is_complete, make, make_masks
from .clip import render_person
from .sheet import contact_sheet
from .spec import DemoSpec

__all__ = ["DemoSpec", "contact_sheet", "is_complete", "make", "make_masks", "render_person"]
