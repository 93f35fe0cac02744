"""The fenced blocks of README, CONTRIBUTING and ``docs/``, and what each of them claims to be.

The first word behind the three backticks is the language. What follows it says more:

- ``console run``: commands with what they print; :mod:`tests.doc_outputs` makes it again;
- ``LANGUAGE example: REASON``: shown as an example, for a reason that no test can run it;
- ``yaml hub``, ``yaml shared``: data that a test elsewhere loads where they are at hand;
- anything else is a file of that name, which other blocks of the page use.
"""

from __future__ import annotations

import re
import tarfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
RUNS = Path(__file__).parent / "document_runs.tar.xz"
"""The runs that the pages speak of, as the demo model answered: records, no weights."""
LANGUAGES = {
    *("console", "yaml", "jinja", "python", "toml", "text"),
    *("json", "jsonl", "csv", "tsv"),
}
SAMPLE_RUN = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.M | re.S)
ROLES = ("run", "hub", "shared", "plugin")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    role: str
    """What follows the language: ``run``, ``example: …``, a file's name, or nothing."""
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def is_example(self) -> bool:
        return self.role.startswith("example")

    @property
    def file(self) -> str | None:
        """The name of the file that the block shows, if it is one."""
        if self.language == "python" and (found := re.match(r"# (\w+\.py)\n", self.text)):
            return found[1]
        return None if self.is_example or self.role in ("", *ROLES) else self.role


def read_blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in their order."""
    text = page.read_text("utf-8")
    found = []
    for match in SAMPLE_RUN.finditer(text):
        language, _, role = match[2].partition(" ")
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, language, role.strip(), textwrap.dedent(match[3])))
    return found


def write_file(block: Block, folder: Path) -> None:
    """Write the file that a block shows into a folder."""
    assert block.file is not None
    path = folder / block.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, "utf-8")


def unpack_runs(folder: Path) -> None:
    """Unpack the runs that the pages speak of as ``folder/runs``."""
    with tarfile.open(RUNS) as archive:
        archive.extractall(folder, filter="data")
