"""A file -> an answer: is it fake, how sure, and why.

``mcxlib.detect`` is the function; :mod:`.schema` says what an answer holds, :mod:`.judge` makes it.
"""
