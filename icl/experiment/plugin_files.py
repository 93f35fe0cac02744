"""The files of a plug-in: everything that it imports from the experiment's folder, as bytes.

They are found without running any of them, so that code can be compared with earlier code before it
runs. They are then imported from these very bytes: neither a compiled file nor a new file next to
them is used.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

__all__ = [
    "ModuleFile",
    "find_imported_files",
    "list_loaded_modules",
    "name_module",
    "find_origin",
    "pin_files",
]


OWN = Path(__file__).resolve().parent
"""Folder of this package; an experiment's folder may contain it in a checkout."""


@dataclass(frozen=True)
class ModuleFile:
    """One file that Python imports as a module."""

    module: str
    """Dotted name."""
    path: Path
    content: bytes
    folders: tuple[str, ...] | None = None
    """Folders in which a package finds its modules; None for a module that is no package."""

    @property
    def sha256(self) -> str:
        """SHA-256 of its content."""
        return hashlib.sha256(self.content).hexdigest()


def find_imported_files(modules: Sequence[str], base: Path) -> dict[str, ModuleFile]:
    """Find the files under ``base`` that these modules are or import, directly or indirectly.

    They are found by import statements, also inside functions; nothing is run. A name that exists
    elsewhere too counts as that of ``base``, which is searched first.

    Args:
        modules: dotted names.
        base: folder whose modules can be imported.

    Returns:
        Path relative to ``base`` -> file; empty for modules elsewhere.
    """
    importlib.invalidate_caches()
    base = base.resolve()
    found: dict[str, ModuleFile] = {}
    left = [*modules]
    known: set[str] = set()
    while left:
        name = left.pop()
        if name in known:
            continue
        known.add(name)
        if name.endswith(".*"):
            left += _modules_of(name.removesuffix(".*"), base)
            continue
        for file in _chain(name, base):
            key = file.path.relative_to(base).as_posix()
            if key not in found:
                found[key] = file
                left += _imports(file)
    return found


def list_loaded_modules(base: Path) -> list[str]:
    """List the modules imported so far from the folder ``base``, sorted by name.

    Modules that no import statement names are included: code may compose a name when it runs.
    """
    base = base.resolve()
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is None or not Path(file).is_relative_to(base):
            continue
        # What lies there by chance, as all of a .venv does, is no module of this folder.
        if any(one.module == name and one.path == Path(file) for one in _chain(name, base)):
            found.append(name)
    return sorted(found)


def name_module(path: str) -> str:
    """Return the module name of a file, from its path relative to the search folder.

    >>> name_module("mine/reader.py"), name_module("mine/__init__.py")
    ('mine.reader', 'mine')
    """
    *folders, name = path.split("/")
    stem = name.partition(".")[0]
    return ".".join(folders if stem == "__init__" else [*folders, stem])


def find_origin(module: str) -> str | None:
    """Return the path of an installed module's package; None if Python cannot find it."""
    top = module.partition(".")[0]
    if top in sys.builtin_module_names:
        return "built-in"
    spec = PathFinder.find_spec(top)
    if spec is None:
        return None
    return spec.origin or str(next(iter(spec.submodule_search_locations or ()), ""))


@contextmanager
def pin_files(files: Mapping[str, ModuleFile], base: Path) -> Iterator[None]:
    """Import, inside the block, these files of ``base`` from their saved bytes, and no others."""
    finder = _Finder({file.path: file for file in files.values()}, base.resolve())
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def _chain(module: str, base: Path) -> list[ModuleFile]:
    """Return the files of a module and of the packages that contain it, outermost first.

    Packages without a file are skipped. This package's own files are never included.
    """
    found: list[ModuleFile] = []
    folders, name = [str(base)], ""
    for word in module.split("."):
        name = f"{name}.{word}" if name else word
        spec = PathFinder.find_spec(name, folders)
        if spec is None:
            break
        inside = spec.submodule_search_locations
        if spec.has_location and spec.origin:
            path = Path(spec.origin)
            own = name.partition(".")[0] == OWN.name and path.resolve().is_relative_to(OWN)
            if own or not path.is_relative_to(base):
                break
            places = None if inside is None else tuple(inside)
            found.append(ModuleFile(name, path, path.read_bytes(), places))
        if inside is None:
            break
        folders = list(inside)
    return found


def _modules_of(package: str, base: Path) -> list[str]:
    """List the modules directly inside a package of ``base``; a star may import any of them."""
    found = _chain(package, base)[-1:]
    folders = [one for file in found if file.module == package for one in file.folders or ()]
    return [f"{package}.{one.name}" for one in pkgutil.iter_modules(folders)]


def _imports(file: ModuleFile) -> list[str]:
    """List the modules that a file may import; some names may be attributes of a module instead."""
    if file.path.suffix != ".py":
        return []  # compiled: what it imports shows when it is loaded
    try:
        tree = ast.parse(file.content)
    except (SyntaxError, ValueError):
        return []  # it cannot be imported either, which is told then
    package = file.module if file.folders is not None else file.module.rpartition(".")[0]
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += _from(node, package)
        elif isinstance(node, ast.Call) and node.args and _called(node) in IMPORTERS:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                dots = len(first.value) - len(first.value.lstrip("."))
                found.append(_absolute(first.value[dots:], dots, package))
    return [name for name in found if name]


IMPORTERS = ("import_module", "__import__")


def _called(call: ast.Call) -> str:
    """Return the last word of a called name."""
    called = call.func
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


def _from(node: ast.ImportFrom, package: str) -> list[str]:
    """Resolve ``from x import y``, which may import ``x.y``; with a star, any module of ``x``."""
    target = _absolute(node.module or "", node.level, package)
    return [target, *(f"{target}.{alias.name}" for alias in node.names if target)]


def _absolute(name: str, dots: int, package: str) -> str:
    """Resolve a relative name with this many dots to an absolute one."""
    if not dots:
        return name
    words = package.split(".")
    return ".".join(filter(None, [*words[: len(words) - dots + 1], name]))


class _Finder(MetaPathFinder):
    """An import finder for the given files of a folder, which blocks all other files there."""

    def __init__(self, files: Mapping[Path, ModuleFile], base: Path) -> None:
        self.files, self.base = files, base

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module; None if it is not in this folder."""
        within = path is not None and any(Path(one).is_relative_to(self.base) for one in path)
        if path is not None and not within:
            return None
        spec = PathFinder.find_spec(fullname, [str(self.base)] if path is None else path)
        if spec is not None and spec.submodule_search_locations and not spec.has_location:
            places = [Path(one) for one in spec.submodule_search_locations]
            if any(file.is_relative_to(place) for file in self.files for place in places):
                return spec  # a package without a file of its own runs nothing
        file = self.files.get(Path(spec.origin)) if spec and spec.origin else None
        if file is not None:
            loader: Loader | None = _BytesLoader(file)
            if file.path.suffix != ".py":
                loader = spec.loader if spec else None
            inside = None if file.folders is None else list(file.folders)
            return spec_from_file_location(
                fullname, file.path, loader=loader, submodule_search_locations=inside
            )
        # Python itself may look in this folder, too, where it is the working folder.
        general = None if within or spec is None else PathFinder.find_spec(fullname)
        if within or (general is not None and spec is not None and general.origin == spec.origin):
            raise ModuleNotFoundError(
                f"No module named {fullname!r} among what was run here", name=fullname
            )
        return None


class _BytesLoader(SourceLoader):
    """A loader that uses a module's compared bytes, and ignores compiled files."""

    def __init__(self, file: ModuleFile) -> None:
        self.file = file

    def get_filename(self, fullname: str) -> str:
        """Return the path, for tracebacks and ``__file__``."""
        return str(self.file.path)

    def get_data(self, path: str | bytes) -> bytes:
        """Return the saved bytes of the file; other data is read from disk."""
        if Path(str(path)) == self.file.path:
            return self.file.content
        return Path(str(path)).read_bytes()
