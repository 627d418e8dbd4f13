"""A file -> an answer: is it fake, how sure, and why."""
