"""Studies: runs that are no rows of the paper's tables, made to answer one question each."""
