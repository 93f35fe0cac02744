"""The command line as ``python -m icl``, where the script ``icl`` is not on the path."""

from __future__ import annotations

from icl.cli import main

if __name__ == "__main__":
    main()
