"""What a trained network has learned: features in the plane, and where in the face it looks.

Section 5 of the paper shows both as pictures (t-SNE in Fig. 3, class activation maps in Fig. 4 to
6). Here each picture has a number beside it that would change if the method broke.
"""

from mcxlib.explain.cam import (
    METHODS,
    Deletion,
    activation_maps,
    deletion,
    hirescam_completeness,
    outputs,
    overlay,
    raw_maps,
    region_share,
)
from mcxlib.explain.features import Agreement, embed_frames, neighbour_agreement, tsne

__all__ = [
    "METHODS",
    "Agreement",
    "Deletion",
    "activation_maps",
    "deletion",
    "embed_frames",
    "hirescam_completeness",
    "neighbour_agreement",
    "outputs",
    "overlay",
    "raw_maps",
    "region_share",
    "tsne",
]
