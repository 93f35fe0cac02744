"""Write ``expected/`` anew and print what changed: ``python -m tests.witness``."""

from __future__ import annotations

import contextlib
import difflib
import tempfile
from pathlib import Path

from tests.witness import EXPECTED, TRIALS, lay, readings, run_all, same, trials


def main() -> None:
    """Compare with a fresh search and the readings of a copy; nothing of ``runs/`` is written."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        with contextlib.chdir(lay(root / "fresh", runs=False)):
            run_all()
            found = {TRIALS: trials()}
        with contextlib.chdir(lay(root / "copy")):
            found |= readings()
    files = {path.relative_to(EXPECTED).as_posix() for path in EXPECTED.rglob("*.*")}
    for name in sorted(files | found.keys()):
        path = EXPECTED / name
        old, new = path.read_text("utf-8") if path.exists() else "", found.get(name, "")
        if same(old, new):
            continue
        print(*difflib.unified_diff(old.splitlines(), new.splitlines(), name, name, "was", "is",
                                    n=0, lineterm=""), sep="\n")  # fmt: skip
        if name in found:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(new, "utf-8", newline="")
        else:
            path.unlink()


if __name__ == "__main__":
    main()
