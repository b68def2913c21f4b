"""``python -m scratchnet`` is the command ``scratchnet``."""

from scratchnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
