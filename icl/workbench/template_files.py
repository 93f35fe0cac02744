"""Templates to open and save: the library's, the user's own, and their earlier versions.

Own templates are ``.j2`` files under the working folder. Every text that is saved or run is stored
as a numbered version under ``.icl/versions/``, so that no attempt is lost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, zip_longest
from pathlib import Path

from icl.core.errors import StoreError, TemplateError
from icl.core.files import replace_file
from icl.core.kinds import Kind
from icl.core.languages import find_language
from icl.core.registry import did_you_mean
from icl.prompts.child_process import SandboxLimits
from icl.prompts.template_file import TemplateFile, find_library, list_templates, read_template
from icl.tasks.generic import GENERATE

__all__ = [
    "FOLDER",
    "TemplateVersion",
    "fields_of",
    "first_changed_line",
    "keep_version",
    "own_templates",
    "save_template",
    "stand_in",
    "template_choices",
    "step_back",
    "template_text",
    "version_text",
    "versions",
]


FOLDER = "prompts"
"""Folder of a saved template whose name has no folder."""
VERSIONS = ".icl/versions"
_PART = re.compile(r"\w[\w.-]{0,63}")
_MOST_TEMPLATES = 500
_RESERVED = {
    "words",
    "labels",
    "label",
    "target",
    "targets",
    "choice",
    "prompt_language",
    "language",
    "source_language",
    "target_language",
}


@dataclass(frozen=True)
class TemplateVersion:
    """An earlier text of a template."""

    number: int
    when: datetime
    """UTC."""
    path: Path


def own_templates(base: Path) -> list[str]:
    """List the ``.j2`` files under ``base``, up to two folders deep, without the library's."""
    found = []
    for pattern in ("*.j2", "*/*.j2", "*/*/*.j2"):
        for path in islice(base.glob(pattern), _MOST_TEMPLATES):
            inside = path.relative_to(base)
            shipped = path.resolve().is_relative_to(find_library().resolve())
            hidden = any(part.startswith(".") for part in inside.parts)
            linked = path.is_symlink() or not path.resolve().is_relative_to(base.resolve())
            if not hidden and not linked and not (shipped and len(inside.parts) > 2):
                found.append(inside.as_posix())
    return sorted(found)


def template_choices(base: Path) -> list[str]:
    """List the user's own templates, then those of the library."""
    return [*own_templates(base), *list_templates()]


def stand_in(kind: Kind) -> str:
    """Return the library template to start from, for a kind of task."""
    return kind.starter or GENERATE.kind.starter


def template_text(name: str, tag: str, base: Path) -> str:
    """Read the text of a template in the list; the user's own may be malformed.

    Raises:
        TemplateError: it is not in the list, or cannot be read.
    """
    known = template_choices(base)
    if name not in known:
        raise TemplateError(f"unknown template {name!r}{did_you_mean(name, known)}")
    if not name.endswith(".j2"):
        return read_template(name, tag).text
    variant = base / f"{name.removesuffix('.j2')}.{find_language(tag).code}.j2"
    path = variant if variant.is_file() and not variant.is_symlink() else base / name
    try:
        return path.read_text("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"{name}: cannot be read as UTF-8 text: {error}") from error


def save_template(base: Path, name: str, text: str, current: str) -> str:
    """Write one of the user's own templates; return its name in the list.

    Only the open template may be overwritten; its former text is stored as a version.

    Raises:
        StoreError: the name is no plain path or is taken, or the text is too long.
    """
    stem = name.strip().removesuffix(".j2")
    parts = stem.split("/")
    if len(parts) > 3 or not all(_PART.fullmatch(part) for part in parts):
        raise StoreError(
            f"{name!r} cannot name a template; accepted: letters, digits, - and _, as in "
            "my-intents, or with up to two folders before it, as in drafts/my-intents"
        )
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > SandboxLimits().source_bytes:
        raise StoreError(
            f"the template has {size:,} bytes, {SandboxLimits().source_bytes:,} are accepted"
        )
    made = f"{stem if len(parts) > 1 else f'{FOLDER}/{stem}'}.j2"
    path = base / made
    if not path.parent.resolve().is_relative_to(base.resolve()) or path.is_symlink():
        raise StoreError(f"{made} is a link to another place; choose another name")
    if path.resolve().is_relative_to(find_library().resolve()) and len(parts) > 2:
        raise StoreError(f"{made} is a folder of the library; choose another name")
    if path.exists() and made != current:
        raise StoreError(f"{made} exists already; open it from the list, or choose another name")
    if path.exists():
        keep_version(base, made, template_text(made, "en", base))
    replace_file(path, _replace_surrogates(text))
    keep_version(base, made, text)
    return made


def keep_version(base: Path, name: str, text: str) -> TemplateVersion | None:
    """Store a text as a new version, unless the newest one is the same.

    The first version of a template that was edited is its text on the disk, so that there is
    something to go back to.
    """
    known = versions(base, name)
    if known and version_text(known[0]) == text:
        return None
    number = known[0].number + 1 if known else 1
    if not known and name in template_choices(base):
        before = template_text(name, "en", base)
        if before != text:
            replace_file(_folder(base, name) / "0001.j2", _replace_surrogates(before))
            number = 2
    path = _folder(base, name) / f"{number:04}.j2"
    replace_file(path, _replace_surrogates(text))
    return TemplateVersion(number, datetime.now(UTC), path)


def step_back(base: Path, name: str, text: str, at: int | None) -> TemplateVersion | None:
    """Return the version before a text, which is stored first; None if there is none.

    Args:
        base: the working folder.
        name: the template.
        text: what stands in the editor.
        at: number of the version that was opened last, if one was. As long as its text was not
            edited the steps go on from there; else they begin at the newest other text.
    """
    known = versions(base, name)
    if not any(version_text(one) == text for one in known):
        keep_version(base, name, text)
        known = versions(base, name)
    opened = next((one for one in known if one.number == at and version_text(one) == text), None)
    older = (one for one in known if opened is None or one.number < opened.number)
    return next((one for one in older if version_text(one) != text), None)


def first_changed_line(found: Sequence[TemplateVersion], place: int) -> str:
    """Return the first line that a version has unlike the one before it, without white space.

    Args:
        found: all versions, the newest first.
        place: index of the version.
    """
    text = version_text(found[place])
    before = version_text(found[place + 1]) if place + 1 < len(found) else ""
    for line, old in zip_longest(text.split("\n"), before.split("\n")):
        if line != old:
            return (line or "").strip() or f"without: {(old or '').strip()}"
    return "no change"


def versions(base: Path, name: str) -> list[TemplateVersion]:
    """List the versions of a template, the newest first."""
    found = [path for path in _folder(base, name).glob("*.j2") if path.stem.isdigit()]
    made = [
        TemplateVersion(int(path.stem), datetime.fromtimestamp(path.stat().st_mtime, UTC), path)
        for path in found
    ]
    return sorted(made, key=lambda version: -version.number)


def version_text(version: TemplateVersion) -> str:
    """Read the text of a version."""
    return version.path.read_text("utf-8")


def fields_of(file: TemplateFile) -> list[str]:
    """List the fields that a template's inputs read, in the order of their lines."""
    found: dict[str, int] = {}
    for half in (file.system, file.instruction, file.query or file.input):
        if half is not None:
            found |= {field: line for field, line in half.names.items() if field not in found}
    found |= dict.fromkeys(file.head.choices, 10**6)
    return [field for field in sorted(found, key=found.__getitem__) if field not in _RESERVED]


def _folder(base: Path, name: str) -> Path:
    return base / VERSIONS / name.removesuffix(".j2")


def _replace_surrogates(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
