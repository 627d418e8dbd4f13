"""Which runs the tables are made of. Plain names, so that the workflow can read them quickly."""

COLORSPACES = (
    "rgb",
    "hsv",
    "lab",
    "ycbcr",
    "rgb+hsv",
    "rgb+lab",
    "rgb+ycbcr",
    "rgb+hsv+lab",
    "rgb+lab+ycbcr",
)
"""The paper's nine: six in Table 1, eight in Table 3, and the YCbCr of section 4.2.1."""

_ALL = (*(("mcx-api", name) for name in COLORSPACES), ("api-net", "rgb"))

RUNS = {
    "paper": _ALL,
    "demo": _ALL,
    # For the tests: one of each kind; the tables then also show rows that were not run.
    "test": (("mcx-api", "rgb"), ("mcx-api", "rgb+ycbcr"), ("api-net", "rgb")),
}
"""preset -> (method, colour space) of each run, in the order of the tables."""
