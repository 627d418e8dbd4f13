"""``python -m mcxlib.cli`` is the command ``mcx``."""

from mcxlib.cli import main

if __name__ == "__main__":
    main()
