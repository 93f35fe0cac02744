"""A loader that reads rows, pools, selectors and engines once for all conditions of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from icl.core.errors import ConfigError
from icl.core.registry import construct, lookup
from icl.core.types import JSON, Example, canonicalize, normalise_label
from icl.data import DataSpec, RowHashes, RowSample, draw, hash_data, keep_apart, pin_commit, scan
from icl.data.hints import (
    Dictionary,
    Hints,
    PseudoShots,
    check_direction,
    count_frequent,
    find_text_field,
)
from icl.data.lexicons import (
    Lexicon,
    chain_lexicons,
    fill_languages,
    read_inflections,
    read_lexicon,
)
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

__all__ = ["Loader"]


_JUDGED_ROWS = 200
"""Rows of a pool by whose words a dictionary is judged."""


def _reads(template: Template) -> JSON:
    """Return the parts of a template that decide how rows are read."""
    file = template.file
    return [
        file.name,
        file.kind.name,
        file.head.label_field,
        template.takes_labels,
    ]


def _enrich(enrichers: Sequence[Enricher], row: Example, template: Template) -> Example:
    """Return a row with the fields that each enricher adds in turn."""
    for enricher in enrichers:
        row = enrich_row(enricher, row, template.hidden(row))
    return row


@dataclass
class _LabelledRows:
    """The rows of a spec that have an answer; the others are counted as they pass.

    Rows are answered first: until then the field with the answer passes for an input.
    """

    loader: Loader
    spec: DataSpec
    template: Template
    pseudo: PseudoShots | None = None
    """Translates each row word by word; None leaves it."""
    total: int = 0
    left_out: int = 0

    def all(self) -> Iterator[Example]:
        """Yield every row, whether it has an answer or not."""
        compared = self.template.file.kind.labels is not None
        spec = self.spec
        if self.template.file.kind.gold == "spans":
            spec = replace(spec, check=self._check)
        rows: Iterable[Example] = self.loader.read(spec)
        if self.pseudo is not None:
            rows = map(self.pseudo.change, rows)
        for row in map(self.template.with_answer, rows):
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
    _lexicons: dict[str, Lexicon] = field(default_factory=dict)
    _hints: dict[str, Hints] = field(default_factory=dict)
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
        return self._enriched(point, template, key, rows, shots=True), left_out

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

            pseudo = self._pseudo(point, entry)
            if pseudo is not None:
                self._check_pseudo(pseudo, name, spec)
            labelled = _LabelledRows(self, spec, template, pseudo)
            self._pools[key] = kept(labelled.all() if bare else labelled)
            if labelled.total and labelled.left_out == labelled.total:
                self._pools[key] = kept(labelled.all())  # whoever needs an answer says so
            else:
                labelled.tell(f"{point.task.task}: the pool {name}")
        return key, *self._pools[key]

    def _enriched(
        self, point: Point, template: Template, key: str, rows: list[Example], shots: bool = False
    ) -> list[Example]:
        """Return rows with the fields that task and dictionaries add; cached by ``key``."""
        enrichers = self._enrichers(point, shots)
        if not enrichers:
            return rows
        hidden = sorted(template.hidden(Example("", {})))
        added = [one.identity() for one in enrichers]
        made = canonicalize([key, point.task.task, added, hidden, shots])
        if made not in self._richer:
            richer = [_enrich(enrichers, row, template) for row in rows]
            if point.task.hints is not None and (hints := self.hints(point)):
                texts = (find_text_field(row, hints.field, "hints")[1] for row in rows)
                check_direction(hints.dictionary, texts)
            self._richer[made] = richer
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

    def _enrichers(self, point: Point, shots: bool) -> list[Enricher]:
        """List what adds fields to the rows of a point: its task's enricher, then its hints."""
        task: Task = lookup("task", point.task.task)
        found = [] if task.enricher is None else [task.enricher]
        entry, hints = point.task.hints, self.hints(point)
        if entry is None or hints is None:
            return found
        if shots and not entry.in_shots:
            hints = replace(hints, dictionary=replace(hints.dictionary, control="hidden"))
        return [*found, hints]

    def hints(self, point: Point) -> Hints | None:
        """Return what adds a point's dictionary hints, read once; None if it has none.

        Raises:
            ConfigError: frequent words are to be skipped, and there is no pool to count them in.
            DataError: a dictionary is missing or malformed.
        """
        entry = point.task.hints
        if entry is None:
            return None
        pool, skipped = point.task.pool, frozenset[str]()
        lexicons = [self.lexicon(point, name) for name in entry.lexicon]
        given: list[JSON] = [entry.model_dump(), [one.identity() for one in lexicons]]
        if entry.skip_frequent:
            if pool is None:
                raise ConfigError(
                    f"the task {point.task.task!r}: hints: skip_frequent counts the words of the "
                    "pool, and there is none; add `pool:`, or leave it out"
                )
            name = pool.data or point.task.rows.data
            used = [pool.model_dump(), point.data[name].model_dump(mode="json")]
            given += [used, point.pool_locale, list(point.pair or ())]
        key = canonicalize(given)
        if key not in self._hints:
            if entry.skip_frequent and pool is not None:
                rows = self.read(self._spec(point, name, point.pool_locale, pool))
                skipped = count_frequent(rows, entry.field, entry.skip_frequent)
            dictionary = Dictionary(
                tuple(lexicons),
                entry.style == "cod",
                entry.senses,
                entry.shortest_stem,
                entry.control,
                entry.seed,
                skipped,
            )
            self._hints[key] = Hints(dictionary, entry.style, entry.field)
        return self._hints[key]

    def _pseudo(self, point: Point, entry: PoolEntry | DevEntry) -> PseudoShots | None:
        """Return what translates the rows of a pool word by word; None if nothing does."""
        asked = entry.translate if isinstance(entry, PoolEntry) else None
        if asked is None:
            return None
        lexicons = tuple(self.lexicon(point, name) for name in asked.lexicon)
        dictionary = Dictionary(
            lexicons,
            senses=1,
            shortest_stem=asked.shortest_stem,
            control=asked.control,
            seed=asked.seed,
        )
        return PseudoShots(dictionary, asked.field, asked.into)

    def _check_pseudo(self, pseudo: PseudoShots, name: str, spec: DataSpec) -> None:
        """Tell how many words of a pool's first rows are translated, and refuse a wrong direction.

        Raises:
            DataError: the dictionary is of the other direction, or there is no text.
        """
        found, rows = pseudo.dictionary, islice(self.read(spec), _JUDGED_ROWS)
        texts = [find_text_field(row, pseudo.field, "pool.translate")[1] for row in rows]
        check_direction(found, texts)
        words = sum(map(found.count, texts))
        known = sum(one.size for text in texts for one in found.find(text))
        self._tell(
            f"the pool {name}: {known:,} of {words:,} words of its first {len(texts)} rows are "
            f"translated by {', '.join(one.name for one in found.lexicons)}; the others stay"
        )

    def lexicon(self, point: Point, name: str) -> Lexicon:
        """Return a dictionary of the experiment, read once, through its pivot where it has one.

        Raises:
            DataError: a file is missing or malformed, or pivots lead back to themselves.
        """
        entry = point.lexicons[name]
        locales = {"source": point.pair and point.pair[0], "target": point.pair and point.pair[1]}
        locales |= {"locale": point.locale}
        path, key = self.experiment.base / fill_languages(name, entry.path, locales), name
        key = canonicalize([name, str(path), locales])
        if key in self._lexicons:
            return self._lexicons[key]
        made = read_lexicon(name, path, entry.columns, self._tell)
        if entry.inflections is not None:
            forms = fill_languages(name, entry.inflections, locales)
            lemmas = read_inflections(name, self.experiment.base / forms)
            made = replace(made, lemmas=lemmas)
        if entry.through is not None:
            made = chain_lexicons(made, self.lexicon(point, entry.through), self._tell)
        self._lexicons[key] = made
        return made

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
        enrichers = self._enrichers(point, shots=True)
        added = [point.task.task, *(one.identity() for one in enrichers)] if enrichers else []
        key = canonicalize([kind, made.identity(), hash_data(pool), locales, added])
        if key not in self._selectors:
            made.fit(pool)
            if enrichers and template is not None and point.shots.file:
                made.pool = [_enrich(enrichers, shot, template) for shot in made.pool]
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
