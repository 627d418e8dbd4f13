"""What tells the classes of a data set apart without a look at any face.

If real videos are MP4 and fakes are JPEG, or fakes were saved once more than real ones, a network
learns that, and no face. Two steps: :mod:`measure` (files -> numbers), :mod:`separate` (numbers ->
how well they tell real from fake).
"""
