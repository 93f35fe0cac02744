"""The state that all pages share: sources of rows, models with their engines, and the sandbox."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from icl.core.errors import ConfigError, DataError, IclError
from icl.core.files import replace_file
from icl.core.registry import did_you_mean, lookup, names
from icl.core.strict_json import read_json
from icl.core.types import Example, digest
from icl.data import DataSpec
from icl.data.columns import SUFFIXES
from icl.engines.protocol import Engine
from icl.experiment.condition import Condition, build
from icl.experiment.entries import DataEntry, RowsEntry
from icl.experiment.file import parse_experiment
from icl.experiment.grid import Experiment, list_points
from icl.experiment.loader import Loader
from icl.prompts.child_process import Sandbox, SandboxLimits
from icl.prompts.template import Template, substitute_template
from icl.tasks.generic import GENERATE
from icl.workbench.bounds import Bounds
from icl.workbench.row_cache import RowCache
from icl.workbench.row_sources import (
    UPLOADED,
    RowSource,
    UploadedTable,
    experiment_sources,
    sample_sources,
    upload_source,
    wanted_or_first,
)
from icl.workbench.screen import (
    Files,
    FilesInMemory,
    PrivateFiles,
    Screen,
    ShotEdits,
    arrange_shots,
    as_yaml,
    experiment,
)
from icl.workbench.template_files import stand_in, template_choices, template_text

__all__ = ["Export", "ScreenCondition", "UPLOAD", "Workbench"]


UPLOAD, TABLES = "uploads", "tables"
"""Folders of this process: rows of uploaded tables, and the files as they were given."""
MOST_BYTES, MOST_KEPT_BYTES = 20 << 20, 500 << 20
"""Largest file that is accepted, and most bytes of all files until the next start."""
_MOST_CACHED = 64
"""Most samples and pools in the cache before it is emptied; each edit of a template adds some."""


@dataclass(frozen=True)
class ScreenCondition:
    """The condition of a screen, with the shots that its selector chose."""

    condition: Condition
    scores: Mapping[str, float | None]
    """Id of each selected shot -> its retrieval score."""

    @property
    def example(self) -> Example:
        """The screen's single row."""
        return self.condition.examples[0]


@dataclass(frozen=True)
class Export:
    """An experiment file and the files that it names."""

    text: str
    files: Mapping[str, bytes]
    """Path from the experiment's folder -> content, for files that are not on disk yet."""


class Workbench:
    """The state that all pages share; content from a page is stored only under its hash.

    Args:
        models: name -> model entry, as in an experiment file; the first one is the default.
        base: working folder; relative paths start from it, and everything is saved in it.
        private: folder for files that only this process needs.
        given: an experiment whose tasks are offered as sources.
    """

    def __init__(
        self,
        models: Mapping[str, Mapping[str, Any]],
        base: Path,
        private: Path,
        given: Experiment | None = None,
    ) -> None:
        self.models = {name: dict(entry) for name, entry in models.items()}
        self.base, self.private, self.given = base, private, given
        self.bounds = Bounds(base, private, self.models, given)
        self.sandbox = Sandbox(SandboxLimits())
        self.row_cache = RowCache()
        self.private_files = PrivateFiles(private)
        self.sources = {**(experiment_sources(given) if given else {}), **sample_sources()}
        self._loader: Loader | None = None

    @property
    def home(self) -> str:
        """Hash of the folder and the experiment, under which a browser stores its drafts."""
        return digest([str(self.base.resolve()), self.given.text if self.given else ""])[:8]

    def first_screen(self) -> Screen:
        """Return the screen of a page just opened: the first source with its template.

        That of an experiment is the first point of its grid.
        """
        data, source = next(iter(self.sources.items()))
        own = source.prompt in template_choices(self.base)
        name = source.prompt if own else stand_in(source.kind)
        made = Screen(
            name,
            template_text(name, "en", self.base),
            data,
            locale=wanted_or_first(source.locales, "en-US"),
            source=wanted_or_first(source.sources, "eng_Latn"),
            target=wanted_or_first(source.targets, "deu_Latn"),
            k=3 if source.task.get("pool") is not None else 0,
            model=next(iter(self.models)),
        )
        return self._first_point(made) if self.given else made

    def _first_point(self, plain: Screen) -> Screen:
        """Return a screen with the settings of the first point of the experiment's grid."""
        assert self.given is not None
        point = list_points(self.given)[0]
        shots, sampling = point.shots, point.task.sampling
        chosen = shots.select in names("selector") and shots.select != "fixed" and not shots.file
        return replace(
            plain,
            locale=point.locale or plain.locale,
            source=point.pair[0] if point.pair else plain.source,
            target=point.pair[1] if point.pair else plain.target,
            words="row" if point.prompt_language not in ("en", "") else "en",
            select=shots.select if chosen else plain.select,
            k=shots.k or 0 if chosen else 0,
            seed=shots.seed,
            max_tokens=sampling.max_tokens,
            model=point.model_name if point.model_name in self.models else plain.model,
            width=point.axes.get("width", ""),
        )

    # ---- rows

    def read(self, spec: DataSpec) -> Iterable[Example]:
        """Read the rows of a spec, from memory if possible.

        Raises:
            ConfigError: the page may not read those files.
        """
        self.bounds.check_spec(spec)
        return self.row_cache.read(spec)

    def source(self, screen: Screen) -> RowSource:
        """Return the source of the screen's rows.

        Raises:
            ConfigError: no source has that name.
        """
        if screen.data.startswith(f"{UPLOAD}/"):
            return self._upload_source(screen)
        if screen.data not in self.sources:
            known = did_you_mean(screen.data, self.sources)
            raise ConfigError(f"unknown data {screen.data!r}{known}")
        return self.sources[screen.data]

    def _source_with_answer(self, screen: Screen) -> RowSource:
        """Return the source; for a typed row, with the field that holds its answer."""
        found = self.source(screen)
        if not screen.own:
            return found
        return replace(found, label_field=self.template(screen).file.head.label_field)

    def keep_file(self, name: str, content: bytes) -> Path:
        """Store a file that was given to the page, for this process; return where it lies.

        Raises:
            DataError: an unknown ending, or more bytes than are kept.
        """
        clean = _clean_name(name)
        if not clean.removesuffix(".gz").endswith(tuple(SUFFIXES)):
            raise DataError(
                f"{clean}: no table is known by the end of this name; accepted: "
                f"{', '.join(SUFFIXES)}; save the table as one of them"
            )
        every = self.private / TABLES
        kept = sum(path.stat().st_size for path in every.glob("*/*"))
        if len(content) > MOST_BYTES or kept + len(content) > MOST_KEPT_BYTES:
            raise DataError(
                f"{clean}: {len(content):,} bytes; {MOST_BYTES:,} are accepted, and "
                f"{MOST_KEPT_BYTES:,} in all until the next start; take fewer rows, or name the "
                "file under data: of an experiment"
            )
        folder = every / hashlib.sha256(content).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / clean
        path.write_bytes(content)
        return path

    def add_table(self, rows: str, table: UploadedTable) -> str:
        """Store the rows of an uploaded table for this process; return their name as a source.

        The name ends in a long hash of the content, so that nobody without the file can guess it.
        """
        about = json.dumps(asdict(table))
        stem = _clean_name(table.name).partition(".")[0]
        made = f"{UPLOAD}/{stem}-{hashlib.sha256((about + rows).encode()).hexdigest()[:16]}.jsonl"
        path = self.private / made
        if not path.is_file():
            replace_file(path.with_suffix(".json"), about)
            replace_file(path, rows)
        return made

    def uploaded_table(self, data: str) -> UploadedTable:
        """Return how the rows of an uploaded table are read.

        Raises:
            DataError: it is not here, as after a new start.
        """
        path = self.private / data
        if path.parent != self.private / UPLOAD or path.suffix != ".jsonl" or not path.is_file():
            raise DataError(f"{data} is no longer here; upload the file again")
        return read_json(path.with_suffix(".json"), UploadedTable, "upload the file again")

    def _upload_source(self, screen: Screen) -> RowSource:
        table = self.uploaded_table(screen.data)
        try:
            kind = self.template(screen).file.kind
        except IclError:  # it is being edited: whoever renders it says what is wrong
            kind = GENERATE.kind
        return upload_source(screen.data, self.private / screen.data, table, kind)

    def rows(self, screen: Screen) -> list[Example]:
        """List all rows of the screen's source, in the order of the file."""
        return list(self.read(spec_of(self.source(screen), self.base, screen)))

    # ---- prompts

    def template(self, screen: Screen) -> Template:
        """Parse the template in the editor, in the sandbox."""
        return self.sandbox.bind(screen.text, screen.name, "en")

    def model(self, screen: Screen) -> dict[str, Any]:
        """Return the whole entry of the screen's model.

        Raises:
            ConfigError: the model is not here, and the app was not started with it.
        """
        name = screen.model or next(iter(self.models))
        entry = dict(self.models.get(name) or {"source": name})
        if name not in self.models:
            self.bounds.check_model(entry)
        engine = lookup("engine", entry.get("engine", "hf"))
        options = {one.name for one in fields(engine)} if is_dataclass(engine) else set()
        for key, value in (("width", screen.width), ("chat", screen.chat)):
            if value and key in options:
                entry[key] = value
        return entry

    def bind(self, screen: Screen) -> ScreenCondition:
        """Bind the screen's experiment as a condition; its template is rendered in the sandbox."""
        plain = self._build(screen, None)
        row = plain.examples[0]
        wanted = screen.k + len(screen.hand.removed)
        picks = plain.selector.select(row, wanted) if plain.selector and screen.k else []
        scores = {shot.example.id: shot.score for shot in picks}
        if not screen.hand:
            return ScreenCondition(plain, scores)
        return ScreenCondition(
            self._build(screen, arrange_shots(scores, screen.hand, screen.k)), scores
        )

    def sample(self, screen: Screen, n: int | None, seed: int) -> Condition:
        """Bind the screen's condition with ``n`` sampled rows, or all, instead of the screen's one.

        Shots changed by hand stand in the prompt of every row.

        Raises:
            IclError: whatever ``icl run`` of it would refuse.
        """
        drawn: dict[str, Any] = {} if n is None else {"n": n, "seed": seed}
        shots = (
            arrange_shots(self.bind(screen).scores, screen.hand, screen.k) if screen.hand else None
        )
        return self._build(screen, shots, drawn)

    def engine(self, screen: Screen) -> Engine:
        """Return the engine of the screen's model, and free the memory of all others."""
        condition = self._build(replace(screen, hand=ShotEdits()), None)
        self.release_others(condition)
        return condition.engine

    def release_others(self, condition: Condition) -> None:
        """Free the memory of every engine but this condition's."""
        if self._loader is not None:
            self._loader.only(condition.engine)

    def _build(
        self, screen: Screen, shots: Sequence[str] | None, drawn: Mapping[str, Any] | None = None
    ) -> Condition:
        source = self._source_with_answer(screen)
        whole = experiment(screen, source, self.model(screen), self.private_files, shots)
        if drawn is not None:
            rows = whole["tasks"][0]["rows"]
            rows.pop("lines", None)
            lines = source.task["rows"].get("lines")
            rows.update({**({"lines": lines} if lines else {}), **drawn})
        made = parse_experiment(as_yaml(whole), "playground", self.base, "playground")
        (point,) = list_points(made)
        with substitute_template(screen.name, partial(self.sandbox.bind, screen.text, screen.name)):
            return build(point, self.loader_for(made))

    def loader_for(self, made: Experiment) -> Loader:
        """Return a loader of an experiment that shares engines and data with the others."""
        known = self._loader
        if known is None:
            known = self._loader = Loader(made, read=self.read)
        if known.held > _MOST_CACHED:
            known = self._loader = Loader(made, known.engines, read=self.read)
        return replace(known, experiment=made)

    @property
    def n_cached(self) -> int:
        """Number of samples, pools and indices in memory."""
        return 0 if self._loader is None else self._loader.held

    # ---- to keep

    def export(self, screen: Screen) -> Export:
        """Write the screen as an experiment, with every file it needs."""
        files = FilesInMemory()
        name, kept = self._template_name(screen, files), replace(screen)
        shots = None
        if screen.hand:
            seen = self.bind(screen)
            shots = arrange_shots(seen.scores, screen.hand, screen.k)
        source = self._copy_upload(self._source_with_answer(screen), files)
        whole = experiment(replace(kept, name=name), source, self.model(screen), files, shots)
        return Export(as_yaml(whole), files.files)

    def _template_name(self, screen: Screen, files: Files) -> str:
        """Return the template's name; a text that is not on disk becomes a new file."""
        spoken = self.prompt_tag(screen)
        if screen.text == template_text(screen.name, spoken, self.base):
            return screen.name
        stem = screen.name.removesuffix(".j2").rpartition("/")[2]
        text = screen.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return files.keep(f"prompts/{stem}-{digest(text)[:8]}.j2", text.encode())

    def _copy_upload(self, source: RowSource, files: Files) -> RowSource:
        """Copy an uploaded file next to the experiment; return the source that names the copy."""
        if not source.name.startswith(f"{UPLOAD}/"):
            return source
        entry = source.data[UPLOADED]
        path = Path(entry["path"])
        name = files.keep(f"data/{path.name}", path.read_bytes())
        return replace(source, data={UPLOADED: {**entry, "path": name}})

    def prompt_tag(self, screen: Screen) -> str:
        """Return the tag of the prompt language."""
        if screen.words != "row":
            return "en"
        pairs = self.source(screen).sources
        return (screen.target if pairs else screen.locale) or "en"

    def write(self, export: Export, name: str) -> Path:
        """Write an export as ``NAME.yaml`` with its files under the base; overwrite nothing.

        Raises:
            StoreError: a file of that name has other content.
            ConfigError: a name that is no plain file name.
        """
        stem = name.strip().removesuffix(".yaml")
        if not stem or not all(c.isalnum() or c in "-_" for c in stem):
            raise ConfigError(
                f"{name!r} cannot name an experiment; accepted: letters, digits, - and _"
            )
        text = export.text.replace("name: playground", f"name: {stem}", 1)
        files = FilesInMemory({**export.files, f"{stem}.yaml": text.encode()})
        return files.write(self.base)[-1]


def spec_of(source: RowSource, base: Path, screen: Screen) -> Any:
    """Return the data spec of a source for the screen's locale or pair."""
    asked = {k: v for k, v in source.task["rows"].items() if k not in ("locale", "pair")}
    rows = RowsEntry.model_validate(asked)
    entry = DataEntry.model_validate(source.entry)
    pair = (screen.source or "", screen.target or "") if source.sources else None
    return entry.spec(base, screen.locale if source.locales else None, pair, rows)


def _clean_name(name: str) -> str:
    """Return a file's name without what a name cannot hold, at most 40 characters and endings.

    >>> _clean_name("../my rows.CSV.gz"), _clean_name("a.b.jsonl")
    ('my-rows.csv.gz', 'a-b.jsonl')
    """
    packed = ".gz" * name.lower().endswith(".gz")
    path = Path(name[: len(name) - len(packed)])
    stem, end = (
        "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in part)
        for part in (path.stem, path.suffix[1:11].lower())
    )
    return f"{stem[:40] or 'rows'}{f'.{end}' if end else ''}{packed}"
