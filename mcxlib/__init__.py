"""mcxlib: the method, data handling and tables of the MCX-API paper, as a small package."""

CLASSES = ("real", "DF", "F2F", "FS", "NT")
"""The five outputs of the classifier, in order: index 0 is real, 1 to 4 are FaceForensics++'s
manipulations (Deepfakes, Face2Face, FaceSwap, NeuralTextures)."""

__version__ = "0.1.0"
