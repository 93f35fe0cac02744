"""Modules named under ``plugins:``: files beside the experiment, or installed ones.

``icl run`` imports what the experiment names. ``icl show`` and ``icl score`` need the same
modules, but a run folder may be a stranger's: they import only what this user has run before.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from icl.engines.files import cache_dir
from icl.errors import ConfigError, IclError

__all__ = ["load_known", "load_plugin", "remember"]


def load_plugin(module: str, base: Path, where: str) -> None:
    """Import a module whose things carry :func:`register`: a file in ``base``, else installed.

    Args:
        module: dotted name, as under ``plugins:``.
        base: folder of the experiment file; its other modules can be imported meanwhile.
        where: what messages begin with.

    Raises:
        ConfigError: no such module, or an error while it is imported (with its line).
    """
    if not all(word.isidentifier() for word in module.split(".")):
        raise ConfigError(
            f"{where}: plugins: {module!r} is no module name; accepted: names as Python imports "
            "them, such as mine for mine.py beside the experiment"
        )
    file = (base / Path(*module.split("."))).with_suffix(".py").resolve()
    loaded = sys.modules.get(module)
    if loaded is not None and file.is_file() and getattr(loaded, "__file__", None) != str(file):
        raise ConfigError(
            f"{where}: plugins: {file.name} has the name of a module that is already loaded "
            f"({getattr(loaded, '__file__', None) or 'built in'}); rename the file"
        )
    sys.path.insert(0, str(base.resolve()))
    try:
        importlib.invalidate_caches()
        importlib.import_module(module)
    except IclError:
        raise
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{where}: plugins: cannot import {module!r} ({error}); put {module}.py into "
            f"{base.resolve()}, or install the package that holds it"
        ) from error
    except Exception as error:  # a stranger's code may raise anything; its line is what helps
        frames = traceback.extract_tb(error.__traceback__)
        at = f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
        raise ConfigError(
            f"{where}: plugins: {module!r} fails while it is imported: {at}"
            f"{type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.remove(str(base.resolve()))


def remember(modules: Sequence[str], base: Path) -> None:
    """Note that this user ran an experiment with these plug-ins of this folder."""
    note = _note()
    known = note.read_text("utf-8").splitlines() if note.is_file() else []
    new = [line for line in _lines(modules, base) if line not in known]
    if new:
        note.parent.mkdir(parents=True, exist_ok=True)
        with note.open("a", encoding="utf-8") as out:
            out.write("".join(line + "\n" for line in new))


def load_known(modules: Sequence[str], base: Path, where: str) -> None:
    """Import the plug-ins of a run that this user ran here.

    Raises:
        ConfigError: this user did not, or a plug-in cannot be imported.
    """
    note = _note()
    known = note.read_text("utf-8").splitlines() if note.is_file() else []
    for module, line in zip(modules, _lines(modules, base), strict=True):
        if line not in known:
            raise ConfigError(
                f"{where}: the run uses the plug-in {module!r} of {base.resolve()}, which was "
                "never run by you here and may hold any code; read it, then run the experiment "
                "again: what is there is reused"
            )
        load_plugin(module, base, where)


def _note() -> Path:
    return cache_dir() / "plugins.jsonl"


def _lines(modules: Sequence[str], base: Path) -> list[str]:
    return [json.dumps([str(base.resolve()), module]) for module in modules]
