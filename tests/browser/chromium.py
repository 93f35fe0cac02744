"""Where Chromium is; ``python -m tests.browser.chromium`` prints it, or ends with 1."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec

__all__ = ["REPAIR", "chromium"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
REPAIR = "install it: .venv/bin/playwright install --with-deps chromium, or apt install chromium"


def chromium() -> str | None:
    """The system's Chromium or Chrome, else the one that Playwright has fetched; one that runs."""
    return next(filter(_runs, filter(None, map(shutil.which, NAMES))), None) or _fetched()


def _fetched() -> str | None:
    if find_spec("playwright") is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = shutil.which(playwright.chromium.executable_path)
    return found if found and _runs(found) else None


def _runs(program: str) -> bool:
    """Whether it starts: a fetched one may lack libraries of the system."""
    try:
        asked = subprocess.run([program, "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


if __name__ == "__main__":
    there = chromium()
    if there is None:
        sys.exit(f"no Chromium here; {REPAIR}")
    print(there)
