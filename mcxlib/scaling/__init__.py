"""What the whole work costs before it is done: arithmetic counted, rates measured or assumed.

Everything here is plain numbers and imports no torch: the workflow asks for each job's time and
memory, ``mcx plan`` for all of them together, the book for what grows with what.
"""
