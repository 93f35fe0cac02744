"""A loader that reads rows, pools, selectors and engines once for all conditions of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from icl.core.errors import ConfigError
from icl.core.registry import construct, lookup
from icl.core.types import JSON, Example, canonicalize, normalise_label
from icl.data import DataSpec, RowHashes, RowSample, draw, hash_data, keep_apart, pin_commit, scan
from icl.engines.protocol import ClosableEngine, EmbeddingEngine, Engine
from icl.engines.sentence_encoder import Encoder
from icl.experiment.entries import DevEntry, PoolEntry, RowsEntry
from icl.experiment.grid import Experiment, Point
from icl.prompts.own_forms import EVERY_TABLE, OwnForms, read_forms
from icl.prompts.slot_values import check_slots
from icl.prompts.template import Template
from icl.selectors import Selector
from icl.selectors.vectors import Vectors, VectorSource
from icl.tasks import Task
from icl.tasks.enrich import Enricher, enrich_row

__all__ = ["Loader", "enricher_of"]


def _reads(template: Template) -> JSON:
    """Return the parts of a template that decide how rows are read."""
    file = template.file
    return [
        file.name,
        file.kind.name,
        file.head.label_field,
        template.takes_labels,
    ]


def enricher_of(point: Point) -> Enricher | None:
    """Return the enricher of a point's task; None if rows are used as the data has them."""
    task: Task = lookup("task", point.task.task)
    return task.enricher


@dataclass
class _LabelledRows:
    """The rows of a spec that have an answer; the others are counted as they pass.

    Rows are answered first: until then the field with the answer passes for an input.
    """

    loader: Loader
    spec: DataSpec
    template: Template
    total: int = 0
    left_out: int = 0

    def all(self) -> Iterator[Example]:
        """Yield every row, whether it has an answer or not."""
        compared = self.template.file.kind.labels is not None
        spec = self.spec
        if self.template.file.kind.gold == "spans":
            spec = replace(spec, check=self._check)
        for row in map(self.template.with_answer, self.loader.read(spec)):
            for spelt in row.targets if compared else ():
                if (label := normalise_label(spelt)) != spelt:
                    self.loader.spellings.setdefault(label, set()).add(spelt)
            yield self.template.with_label(row)

    def _check(self, place: str, row: Example) -> None:
        check_slots(self.template.file.head, row, place)

    def __iter__(self) -> Iterator[Example]:
        self.total = self.left_out = 0
        for row in self.all():
            self.total += 1
            if row.targets:
                yield row
            else:
                self.left_out += 1

    def tell(self, whose: str) -> None:
        """Report how many rows without an answer were left out, if any."""
        if self.left_out:
            have = "have no answer and are" if self.left_out > 1 else "has no answer and is"
            self.loader.notes.setdefault(
                f"{whose}: {self.left_out} of {self.total} rows {have} left out"
            )


@dataclass
class Loader:
    """Loads data sets and engines once for a whole experiment."""

    experiment: Experiment
    engines: dict[str, Engine] = field(default_factory=dict)
    """The point's ``engine_key`` -> engine, in the order of the grid."""
    _tests: dict[str, RowSample] = field(default_factory=dict)
    _pools: dict[str, tuple[list[Example], int]] = field(default_factory=dict)
    _richer: dict[str, list[Example]] = field(default_factory=dict)
    _selectors: dict[str, Selector] = field(default_factory=dict)
    _encoders: dict[str, Encoder] = field(default_factory=dict)
    _vectors: dict[str, Vectors] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    """Name of a hub data set -> the commit that was read."""
    read: Callable[[DataSpec], Iterable[Example]] = scan
    """Reads the rows of a spec; a caller that needs many parts of one file may pass a cached
    reader."""
    notes: dict[str, None] = field(default_factory=dict)
    """Guesses about the data and rows left out, one line each, in the order found."""
    spellings: dict[str, set[str]] = field(default_factory=dict)
    """Label in NFC -> its spelling in the data, if that differs."""

    @property
    def held(self) -> int:
        """Number of samples, pools and indices in memory."""
        return len(self._tests) + len(self._pools) + len(self._richer) + len(self._selectors)

    def _spec(
        self, point: Point, name: str, locale: str | None, rows: RowsEntry | PoolEntry | DevEntry
    ) -> DataSpec:
        """Make the spec to read; the commit of a hub data set is looked up once."""
        given = point.data[name].spec(self.experiment.base, locale, point.pair, rows)
        told = replace(given, tell=self._tell, revision=self.revisions.get(name, given.revision))
        spec = pin_commit(told)
        if spec.format == "hf" and spec.revision:
            self.revisions[name] = spec.revision
        return spec

    def _tell(self, line: str) -> None:
        self.notes.setdefault(line)

    def test(self, point: Point, template: Template) -> RowSample:
        """Sample the test rows, with their answers, and hash all rows; read only once.

        Answers are assigned first: until then the field with the answer counts as an input.
        """
        rows = point.task.rows
        given = point.data[rows.data].model_dump(mode="json")
        key = canonicalize(
            [given, rows.model_dump(), point.locale, list(point.pair or ()), _reads(template)]
        )
        if key not in self._tests:
            spec = self._spec(point, rows.data, point.locale, rows)
            read = _LabelledRows(self, spec, template)
            drawn = draw(read, rows.n, rows.seed, template.takes_labels)
            if not drawn.available:  # no row has an answer: they are asked all the same
                drawn = draw(read.all(), rows.n, rows.seed, template.takes_labels)
            else:
                read.tell(f"{point.task.task}: {rows.data}")
            self._tests[key] = drawn
        drawn = self._tests[key]
        examples = self._enriched(point, template, key, drawn.examples)
        return drawn if examples is drawn.examples else replace(drawn, examples=examples)

    def pool(
        self,
        point: Point,
        entry: PoolEntry | DevEntry,
        locale: str | None,
        template: Template,
        test: RowSample,
    ) -> tuple[list[Example], int]:
        """Return the pool without test rows, enriched, and the number of rows left out."""
        key, rows, left_out = self._pool(point, entry, locale, template, test)
        return self._enriched(point, template, key, rows), left_out

    def _pool(
        self,
        point: Point,
        entry: PoolEntry | DevEntry,
        locale: str | None,
        template: Template,
        test: RowSample,
    ) -> tuple[str, list[Example], int]:
        """Return the pool's key, its rows as in the data, and the number left out; read only once.

        Rows are compared by their data, without fields that an enricher adds.
        """
        rows = point.task.rows
        name = entry.data or rows.data
        given = [point.data[one].model_dump(mode="json") for one in (name, rows.data)]
        used = [given, rows.model_dump(), point.locale, list(point.pair or ())]
        bare = point.shots.shown_labels == "none"
        key = canonicalize([entry.model_dump(), name, locale, used, _reads(template), bare])
        if key not in self._pools:
            spec = self._spec(point, name, locale, entry)
            held, same = RowHashes(), False
            if isinstance(entry, PoolEntry) and entry.without:
                same = (entry.without.data or rows.data) == name
                for row in self._pool(point, entry.without, point.locale, template, test)[1]:
                    held.add(row)
            by_id = {"leave_out": True, "auto": name == rows.data}
            by_id["allow"] = by_id["auto"] and locale == point.locale
            parallel = entry.parallel if isinstance(entry, PoolEntry) else "auto"

            def kept(read: Iterable[Example]) -> tuple[list[Example], int]:
                rest = (row for row in read if not held.has(row, same))
                return keep_apart(rest, test.seen, by_id[parallel], entry.n, entry.seed)

            labelled = _LabelledRows(self, spec, template)
            self._pools[key] = kept(labelled.all() if bare else labelled)
            if labelled.total and labelled.left_out == labelled.total:
                self._pools[key] = kept(labelled.all())  # whoever needs an answer says so
            else:
                labelled.tell(f"{point.task.task}: the pool {name}")
        return key, *self._pools[key]

    def _enriched(
        self, point: Point, template: Template, key: str, rows: list[Example]
    ) -> list[Example]:
        """Return rows with the fields that the task's enricher adds; cached by ``key``."""
        enricher = enricher_of(point)
        if enricher is None:
            return rows
        hidden = sorted(template.hidden(Example("", {})))
        made = canonicalize([key, point.task.task, enricher.identity(), hidden])
        if made not in self._richer:
            self._richer[made] = [enrich_row(enricher, row, template.hidden(row)) for row in rows]
        return self._richer[made]

    def own_forms(self) -> OwnForms:
        """Return the words and label names in the files that the experiment names.

        Raises:
            ConfigError: a file is missing, or has another shape.
        """
        words, labels = (self.experiment.raw.get(key) for key in ("words", "labels"))
        files = {EVERY_TABLE: labels} if isinstance(labels, str) else dict(labels or {})
        base = self.experiment.base
        return OwnForms(
            read_forms(base / Path(words).expanduser(), "words") if words else {},
            {
                table: read_forms(base / Path(file).expanduser(), "labels")
                for table, file in files.items()
            },
        )

    def engine(self, point: Point) -> Engine:
        """Return the engine of a point's model entry; this loads nothing into memory."""
        if point.engine_key not in self.engines:
            values = dict(point.model)
            kind = values.pop("engine", "hf")
            filled = self.experiment.config.fill(values, kind)
            self.engines[point.engine_key] = construct(
                "engine", kind, self._placed(filled), f"models.{point.model_name}"
            )
        return self.engines[point.engine_key]

    def only(self, engine: Engine) -> None:
        """Free the memory of every other engine that supports it."""
        for other in self.engines.values():
            if other is not engine and isinstance(other, ClosableEngine):
                other.close()

    def _placed(self, values: dict[str, Any]) -> dict[str, Any]:
        """Make local paths absolute; they are relative to the experiment file."""
        for key in ("source", "tokenizer"):
            source = values.get(key)
            if not isinstance(source, str) or not source:
                continue
            path = self.experiment.base / Path(source).expanduser()
            if source.startswith((".", "~")) or path.exists():
                values[key] = str(path.resolve())
        return values

    def selector(
        self,
        point: Point,
        pool: Sequence[Example],
        queries: Sequence[Example] = (),
        template: Template | None = None,
    ) -> Selector | None:
        """Return the fitted selector of a point, prepared for its queries; None without shots.

        Args:
            point: names the selector and its options.
            pool: the rows that shots come from, enriched.
            queries: the rows that will be answered.
            template: decides which fields of a handwritten shot an enricher may see.

        Raises:
            ConfigError: an unknown option, or the model has no states to compare texts by.
        """
        made = self.made(point)
        if made is None:
            return None
        if made.asks is not None:
            made.bind(self._vectors_of(point, made.asks))
        entry = point.task.pool
        made.parallel = entry is not None and entry.parallel == "allow"
        locales = [point.locale, point.pool_locale] if made.parallel else []
        kind = "fixed" if point.shots.file else point.shots.select
        enricher = enricher_of(point)
        added = [] if enricher is None else [point.task.task, enricher.identity()]
        key = canonicalize([kind, made.identity(), hash_data(pool), locales, added])
        if key not in self._selectors:
            made.fit(pool)
            if enricher is not None and template is not None and point.shots.file:
                hidden = template.hidden
                made.pool = [enrich_row(enricher, shot, hidden(shot)) for shot in made.pool]
            self._selectors[key] = made
        self._selectors[key].expect(queries)
        return self._selectors[key]

    def made(self, point: Point) -> Selector | None:
        """Construct a point's selector with its options, not yet fitted; None without shots."""
        shots = point.shots
        options = dict(shots.model_extra or {})
        if shots.file:
            kind, options = "fixed", options | {"file": self.experiment.base / shots.file}
        elif shots.k:
            kind = shots.select
        else:
            return None
        selector: Selector = construct(
            "selector", kind, options | {"seed": shots.seed}, f"shots: {kind}"
        )
        return selector

    def _vectors_of(self, point: Point, asked: VectorSource) -> Vectors:
        """Return the vectors of the queried model or of an encoder; each text is embedded once."""
        maker: EmbeddingEngine | Engine
        if asked.encoder is not None:
            source = self._placed({"source": asked.encoder})["source"]
            maker = self._encoders.setdefault(source, Encoder(source))
        else:
            maker = self.engine(point)
        if not isinstance(maker, EmbeddingEngine):
            raise ConfigError(
                f"shots: {point.shots.select}: the model {point.model_name!r} gives no hidden "
                "states to compare texts by; name a sentence encoder, as in `encoder: "
                "sentence-transformers/all-MiniLM-L6-v2`, or select: bm25"
            )
        found, identity = maker, maker.embedding(asked.layer)

        def embed(texts: Sequence[str]) -> Any:
            if asked.encoder is None:
                self.only(self.engine(point))  # weights of one model at a time
            return found.embed(texts, asked.layer)

        return self._vectors.setdefault(canonicalize(identity), Vectors(embed, identity))
