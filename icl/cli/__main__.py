"""``python -m icl.cli``."""

from icl.cli import main

main()
