"""Entry point of ``python -m icl.cli``."""

from __future__ import annotations

from icl.cli import main

if __name__ == "__main__":
    main()
