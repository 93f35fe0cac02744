"""Import of the modules under ``plugins:``: files next to the experiment, or installed ones.

``icl run`` imports what the experiment names. ``icl show`` and ``icl score`` need the same
modules, but a run folder may be a stranger's, and a file may be replaced: they import only
exactly the code that this user has run before.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from icl.core.errors import ConfigError, IclError
from icl.engines.hf.weights.hashes import find_cache_dir
from icl.experiment.old_imports import new_import
from icl.experiment.plugin_files import (
    ModuleFile,
    find_imported_files,
    find_origin,
    list_loaded_modules,
    name_module,
    pin_files,
)

__all__ = ["load_known", "load_plugin", "remember"]


AGAIN = "read it, then run the experiment again: existing answers are reused"


@dataclass(frozen=True)
class Consent:
    """The plug-in code that one run of this user imported."""

    base: str
    """Folder of the experiment, so that messages can distinguish a changed plug-in from an unknown
    one; the same code in another folder is the same plug-in."""
    modules: tuple[str, ...]
    files: Mapping[str, str]
    """Path from the folder -> SHA-256, for the plug-ins and what they import from there."""
    installed: Mapping[str, str | None]
    """Plug-ins outside the folder -> place of their package."""

    @property
    def line(self) -> str:
        """The consent as a line of the file."""
        return json.dumps(asdict(self), sort_keys=True)


_loaded: dict[tuple[Path, str], dict[str, str]] = {}
"""Hashes of files when a plug-in was imported in this process; they may be replaced since."""


def load_plugin(module: str, base: Path, where: str) -> None:
    """Import a module that registers plug-ins: a file in ``base``, or else an installed one.

    Args:
        module: dotted name, as under ``plugins:``.
        base: folder of the experiment file, whose other modules can be imported meanwhile.
        where: beginning of messages.

    Raises:
        ConfigError: no such module, or an error while importing it (with its line).
    """
    _check_name(module, where)
    files = _files([module], base, where)
    _check_apart(files, where)
    fresh = module not in sys.modules
    sys.path.insert(0, str(base.resolve()))
    try:
        importlib.invalidate_caches()
        _import(module, base, where)
    finally:
        sys.path.remove(str(base.resolve()))
    if fresh or (base.resolve(), module) not in _loaded:
        _loaded[base.resolve(), module] = _hashes(files)


def remember(modules: Sequence[str], base: Path) -> None:
    """Save that this user ran an experiment with these plug-ins, identified by their content."""
    found = find_imported_files([*modules, *list_loaded_modules(base)], base)
    files = _hashes(found)
    for module in modules:
        files |= _loaded.get((base.resolve(), module), {})
    made = Consent(str(base.resolve()), tuple(modules), files, _installed(modules, found))
    if made not in _known():
        note = _note()
        note.parent.mkdir(parents=True, exist_ok=True)
        with note.open("a", encoding="utf-8") as out:
            out.write(made.line + "\n")


def load_known(modules: Sequence[str], base: Path, where: str) -> None:
    """Import the plug-ins of a run, if this user has run exactly the same code before.

    All files are compared before any of them runs, and no other file of ``base`` is imported.

    Raises:
        ConfigError: the code is unknown or changed, or a plug-in cannot be imported.
    """
    for module in modules:
        _check_name(module, where)
    files = _known_files(modules, base, where) if modules else {}
    _check_apart(files, where)
    with pin_files(files, base):
        for module in modules:
            _import(module, base, where)


def _known_files(modules: Sequence[str], base: Path, where: str) -> dict[str, ModuleFile]:
    """Return everything that these plug-ins may import from ``base``; this user ran all of it."""
    found = _files(modules, base, where)
    now, installed = _hashes(found), _installed(modules, found)
    told = None
    for consent in reversed(_known()):
        if not {*modules} <= {*consent.modules}:
            continue
        if now.items() <= consent.files.items() and installed.items() <= consent.installed.items():
            # What no import statement names was noted when it had been imported.
            whole = _files([*modules, *map(name_module, consent.files)], base, where)
            if _hashes(whole) == consent.files:
                return whole
        if told is None and consent.base == str(base.resolve()):
            told = consent
    if told is None:
        run = {module for consent in _known() for module in consent.modules}
        module = next((one for one in modules if one not in run), modules[0])
        raise ConfigError(
            f"{where}: the run uses the plug-in {module!r} of {base.resolve()}, which was never "
            f"run by you here and may hold any code; {AGAIN}"
        )
    names = ", ".join(map(repr, modules))
    whole = _files([*modules, *map(name_module, told.files)], base, where)
    what = next(_differences(told, _hashes(whole), installed), "other files are imported")
    raise ConfigError(
        f"{where}: the run's plug-ins ({names}) of {base.resolve()} may hold other code than you "
        f"ran here: {what}; {AGAIN}"
    )


def _differences(
    consent: Consent, now: Mapping[str, str], installed: Mapping[str, str | None]
) -> Iterator[str]:
    """Describe how the files differ from a consent."""
    for path, sha256 in sorted(now.items()):
        if path not in consent.files:
            yield f"{path} was added"
        elif sha256 != consent.files[path]:
            yield f"{path} was changed"
    yield from (f"{path} was removed" for path in sorted(consent.files.keys() - now.keys()))
    for module, place in installed.items():
        if consent.installed.get(module) != place:
            yield f"{module!r} is found in {place or 'no place'} now"


def _check_name(module: str, where: str) -> None:
    if not isinstance(module, str) or not all(word.isidentifier() for word in module.split(".")):
        raise ConfigError(
            f"{where}: plugins: {module!r} is no module name; accepted: names as Python imports "
            "them, such as mine for mine.py beside the experiment"
        )


def _check_apart(files: Mapping[str, ModuleFile], where: str) -> None:
    """Refuse files that a loaded module of the same name would hide."""
    for path, file in files.items():
        loaded = sys.modules.get(file.module)
        place = getattr(loaded, "__file__", None)
        if loaded is not None and (place is None or Path(place).resolve() != file.path.resolve()):
            raise ConfigError(
                f"{where}: plugins: {path} has the name of a module that is already loaded "
                f"({place or 'built in'}); rename the file"
            )


def _import(module: str, base: Path, where: str) -> None:
    try:
        importlib.import_module(module)
    except IclError:
        raise
    except Exception as error:  # a stranger's code may raise anything; its line is what helps
        moved = new_import(error) if isinstance(error, ImportError) else None
        if moved is None and isinstance(error, ModuleNotFoundError):
            raise ConfigError(
                f"{where}: plugins: cannot import {module!r} ({error}); put {module}.py into "
                f"{base.resolve()}, or install the package that holds it"
            ) from error
        frames = traceback.extract_tb(error.__traceback__)
        at = f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
        raise ConfigError(
            f"{where}: plugins: {module!r} fails while it is imported: {at}"
            f"{moved or f'{type(error).__name__}: {error}'}"
        ) from error


def _files(modules: Sequence[str], base: Path, where: str) -> dict[str, ModuleFile]:
    try:
        return find_imported_files(modules, base)
    except OSError as error:
        raise ConfigError(
            f"{where}: plugins: {error.filename} cannot be read ({error.strerror}); make it "
            "readable, or move it away"
        ) from error


def _hashes(files: Mapping[str, ModuleFile]) -> dict[str, str]:
    return {path: file.sha256 for path, file in files.items()}


def _installed(modules: Sequence[str], files: Mapping[str, ModuleFile]) -> dict[str, str | None]:
    """Return the plug-ins that are not among these files -> place of their package."""
    here = {file.module for file in files.values()}
    return {module: find_origin(module) for module in modules if module not in here}


def _note() -> Path:
    return find_cache_dir() / "plugins.jsonl"


def _known() -> list[Consent]:
    """Read all saved consents; lines of earlier versions, or incomplete ones, are ignored."""
    note = _note()
    found = []
    for line in note.read_text("utf-8").splitlines() if note.is_file() else ():
        try:
            kept = json.loads(line)
            kept["modules"] = tuple(kept["modules"])
            found.append(Consent(**kept))
        except (ValueError, TypeError, KeyError):
            continue
    return found
