"""``python -m icl.cli``."""

from icl.cli import main

if __name__ == "__main__":
    main()
