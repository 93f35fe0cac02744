"""Templates bound to a language and labels, and the prompts rendered from them.

One file is one template: YAML front matter, then sections. ``[[example]]`` renders one example
and ``|||`` splits its input from its target, the convention of promptsource (Bach et al. 2022,
arXiv 2202.01279). See ``docs/prompts.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType

from icl.core.errors import ChoiceError, TemplateError
from icl.core.label_sets import gather_labels, read_labels, split_labels
from icl.core.languages import find_language
from icl.core.registry import did_you_mean
from icl.core.types import JSON, Choice, Example, Prompt, Shot, digest, normalise_label
from icl.prompts.choices import LABELS, ROW, check_choices, end_choices
from icl.prompts.frontmatter import read_answers, read_row_choices
from icl.prompts.jinja_sandbox import FIT, TemplateHalf
from icl.prompts.layouts import varied
from icl.prompts.own_forms import OwnForms
from icl.prompts.slot_values import SLOT_VALUES, answer_slots, write_slot_values
from icl.prompts.template_file import GOLD, TemplateFile, parse_template, read_template

__all__ = [
    "NO_FORMS",
    "Binder",
    "Template",
    "TemplateCopy",
    "bind",
    "substitute_template",
    "load_template",
    "restore",
]


NO_FORMS = OwnForms()


@dataclass(frozen=True)
class Template:
    """A template bound to a prompt language and a label set, ready to render.

    >>> template = load_template("intent/plain")
    >>> [choice.text for choice in template.choices()][:2]
    [' alarm query', ' alarm remove']
    """

    file: TemplateFile
    language: str
    """Language tag of the instruction and the words."""
    words: Mapping[str, str]
    """The words that the template reads; the whole table if the row determines the word."""
    labels: Mapping[str, str]
    """Label -> its word in the prompt; empty for free text."""
    fallbacks: tuple[str, ...] = ()
    """Words and labels that this language lacks, taken from the fallback language."""
    slot: str | None = None
    """Of a template that asks about one slot at a time: the slot's name."""

    @property
    def name(self) -> str:
        """The library name, such as ``intent/plain``, or the file's path."""
        return self.file.name

    @cached_property
    def hash(self) -> str:
        """SHA-256 of everything in the template that can change a prompt."""
        labels = [list(pair) for pair in self.labels.items()]  # their order is seen too
        return digest([self.file.text, self.language, dict(self.words), labels])

    def constants(self, half: TemplateHalf, example: Example) -> dict[str, JSON]:
        """Return the reserved variables that a half can read, with their values."""
        # CLDR lacks some names, so only those are looked up that the author asked for.
        named = {
            name: _language_name(tag, self.language)
            for name, tag in self._tags(example).items()
            if name in half.names
        }
        if self.file.head.asks_each:
            named["slot"] = self.labels.get(self.asked_slot, self.asked_slot)
        return {"labels": list(self.labels.values()), "words": dict(self.words), **named}

    @property
    def asked_slot(self) -> str:
        """Return the slot of the question, where each slot has one: the first if none is set."""
        return self.slot if self.slot is not None else next(iter(self.labels), "")

    def _tags(self, example: Example) -> dict[str, str]:
        meta = example.meta
        tags = {
            "prompt_language": self.language,
            "source_language": meta.get("source"),
            "target_language": meta.get("target"),
            "language": meta.get("locale"),
        }
        return {name: tag for name, tag in tags.items() if tag}

    def _render(
        self,
        half: TemplateHalf,
        example: Example,
        values: Mapping[str, JSON],
        keep: int | None = None,
    ) -> str:
        """Render a half with ``values`` and the reserved variables, which override equal names."""
        reserved = self.constants(half, example)
        if keep is not None:
            reserved[FIT] = keep
        return half.render({**values, **reserved}, self._tags(example))

    def find_concealed(self, example: Example) -> tuple[str, str] | None:
        """Find a field of the row that a reserved name hides, and the place that reads it.

        The answer's field is not reported for an input, which may not read it anyway.
        """
        file = self.file
        reserved = {"labels", "words", *self._tags(example)} & example.fields.keys()
        kind = file.kind.variable
        own = reserved | ({"choice"} & example.fields.keys() if kind == "choice" else set())
        own -= {*file.head.choices}
        if kind is None:
            given = {"target": example.targets[:1], "targets": example.targets}
            own |= {
                name
                for name in given.keys() & example.fields.keys() - {*example.gold}
                if example.targets
                and example.fields[name] not in (*example.targets, [*given[name]])
            }
            if file.kind.gold == "spans":
                own |= SLOT_VALUES & example.fields.keys() - {*example.gold}
                reserved |= {"slot"} & example.fields.keys() if file.head.asks_each else set()
        inputs = (file.system, file.instruction, file.input, file.query, file.scored)
        for half, names in (
            *((half, reserved - {*example.gold}) for half in inputs),
            (file.target, own),
            (file.given, own),
        ):
            for name, line in half.names.items() if half is not None else ():
                if name in names:
                    return name, f"{half.where}:{line}" if half is not None else ""
        return None

    def hidden(self, example: Example) -> set[str]:
        """Return the names of fields that give the answer away; input parts cannot read them."""
        return {*GOLD, *example.gold, *self.file.answer_fields} - set(self.file.shared_fields)

    def _input(self, half: TemplateHalf, example: Example, keep: int | None = None) -> str:
        hidden = self.hidden(example)
        half.refuse(hidden)
        shown = {name: value for name, value in example.fields.items() if name not in hidden}
        return self._render(half, example, shown, keep)

    @property
    def takes_labels(self) -> bool:
        """Return whether the template lists no labels or slot names and uses those of the data."""
        kind = self.file.kind
        return (kind.labels == "shared" or kind.gold == "spans") and not self.labels

    def label(self, example: Example) -> str | None:
        """Return an example's label; None for free text and for rows without an answer."""
        kind = self.file.kind
        if kind.labels is None or not example.targets:
            return None
        if not (self.labels or kind.labels == "row"):
            return None
        if self.file.kind.gold == "set":
            return gather_labels(example.targets, self.file.head.label_separator)
        return self._compared(example.targets[0])

    def _compared(self, label: str) -> str:
        """Return a label in NFC, or unchanged if the template lists it so."""
        return label if label in self.labels else normalise_label(label)

    def gold_labels(self, example: Example) -> list[str]:
        """List the labels that the label set must hold: the first answer's, or all of its set."""
        label = self.label(example)
        if label is None:
            return []
        return sorted(read_labels(label)) if self.file.kind.gold == "set" else [label]

    def _words_of(self, example: Example) -> str:
        """Write a set of labels as the target half shows it, in the order of the label set."""
        separator = self.file.head.label_separator
        members = read_labels(gather_labels(example.targets, separator))
        for label in sorted(members - self.labels.keys()):
            raise self._unknown(example, label)
        words = [word for label, word in self.labels.items() if label in members]
        return separator.join(words) or self.file.head.no_labels

    def _unknown(self, example: Example, label: str) -> TemplateError:
        return TemplateError(
            f"{self.name}: example {example.id!r} has the label {label!r}, which is not "
            f"among the {len(self.labels)} labels of this template; add it under "
            "`labels:`"
        )

    def shown_label(self, shot: Shot) -> str | None:
        """Return the label shown with a shot; None for free text, or if the shot shows none."""
        return self.label(shot.example) if shot.label is None else shot.label or None

    def shown_target(self, shot: Shot) -> str:
        """Render the target of a shot with the label that it shows; "" if it shows no answer."""
        if shot.label is None:
            return self.target(shot.example)
        return self.target(replace(shot.example, targets=(shot.label,))) if shot.label else ""

    def label_set(self, example: Example) -> list[str]:
        """List the labels that an example may be shown with; empty for free text."""
        return list(self._row_choices(example) if self.file.kind.labels == "row" else self.labels)

    def answered(self, example: Example) -> Example:
        """Return the example with its answer, its labels in the form in which they are compared.

        The answer is what ``label_field`` names, where the template names one.
        """
        return self.with_label(self.with_answer(example))

    def with_answer(self, example: Example) -> Example:
        """Return the example with the answer that ``label_field`` names, as the data spells it."""
        name = self.file.head.label_field
        if self.file.kind.gold == "spans":
            return answer_slots(self.file.head, f"{self.name}: example {example.id!r}", example)
        if name is None or name not in example.fields:
            return self._gathered(example)
        targets = read_answers(
            self.file.head, f"{self.name}: example {example.id!r}", example.fields[name]
        )
        return replace(
            example, targets=targets, gold=tuple({**dict.fromkeys(example.gold), name: 0})
        )

    def _gathered(self, example: Example) -> Example:
        """Return the example with its labels joined to one set, if answers are sets of labels."""
        if self.file.kind.gold != "set":
            return example
        # An empty list is an answer, the empty set; null is none.
        empty = any(example.fields.get(name) == [] for name in example.gold)
        if not example.targets and not empty:
            return example
        made = gather_labels(example.targets, self.file.head.label_separator)
        return replace(example, targets=(made,))

    def with_label(self, example: Example) -> Example:
        """Return the example with its labels in NFC; leave free text as it is."""
        if self.file.kind.labels is None:
            return example
        labels = tuple(dict.fromkeys(map(normalise_label, example.targets)))
        return example if labels == example.targets else replace(example, targets=labels)

    def target(self, example: Example) -> str:
        """Render a shot's target: its first right answer, as the prompt shows it.

        Raises:
            TemplateError: the example has no answer, or its label is not in the label set.
        """
        if not example.targets:
            raise TemplateError(
                f"{self.name}: example {example.id!r} has no answer, so it cannot be a shot; "
                "leave it out of the pool"
            )
        first = example.targets[0]
        if self.file.kind.labels is not None:
            first = self._compared(first)
        if self.file.kind.labels == "row":
            texts = self._row_choices(example)
            if first not in texts:
                raise TemplateError(
                    f"{self.name}: example {example.id!r} has the label {first!r}, and its "
                    f"choices are labelled {', '.join(texts)}; see `choice_labels:`"
                )
            return self._choice(example, texts[first])
        values = {**example.fields, "target": first, "targets": list(example.targets)}
        if self.file.kind.gold == "spans":
            where = f"{self.name}: example {example.id!r}"
            values |= write_slot_values(
                self.file.head, where, example, self.labels, self.asked_slot
            )
        elif self.file.kind.gold == "set":
            values["label"] = self._words_of(example)
        elif self.file.kind.labels == "shared":
            if first not in self.labels:
                raise self._unknown(example, first)
            values["label"] = self.labels[first]
        return self._render(self.file.target, example, values)

    def find_fallbacks(self, examples: Iterable[Example]) -> tuple[str, ...]:
        """List the words and labels of the fallback language that these rows need.

        If the row chooses the word, as in ``words[field]``, the template could read the whole
        table, but only words that some field of a row names are read.
        """
        if not self.fallbacks or self.file.words_used is not None:
            return self.fallbacks
        missing = {*self.fallbacks} - self.labels.keys()
        named = {
            value
            for example in examples
            for value in example.fields.values()
            if isinstance(value, str) and value in missing
        }
        return tuple(one for one in self.fallbacks if one in named or one in self.labels)

    @property
    def may_change_targets(self) -> bool:
        """Return whether the target half may change gold: free text, not just ``{{ target }}``."""
        kind = self.file.kind
        return (
            kind.labels is None and kind.gold == "text" and not self.file.target.is_only("target")
        )

    def teach(self, example: Example) -> Example:
        """Return the example with ``gold_texts``, its right answers as the target half shows them.

        A model learns from the shots to write these, so its answers are compared with them; white
        space around them does not count. Where they equal the targets, ``gold_texts`` is empty.

        Raises:
            TemplateError: the target half reads what the row does not have.
        """
        if not self.may_change_targets or not any(example.targets):
            return replace(example, gold_texts=()) if example.gold_texts else example
        shown = [self._shown(example, target) for target in example.targets]
        same = [one.strip() for one in example.targets] == shown
        texts = () if same else tuple(dict.fromkeys(shown))
        return replace(example, gold_texts=texts)

    def _shown(self, example: Example, target: str) -> str:
        """Render a target as a shot would show it if it were the example's first."""
        rest = (one for one in example.targets if one != target)
        return self.target(replace(example, targets=(target, *rest))).strip()

    def choices(self, example: Example | None = None) -> list[Choice]:
        """Render every label with the target half; for a ``choose`` template the row's own choices.

        Args:
            example: the row; required for a ``choose`` template.

        Raises:
            ChoiceError: fewer than two choices, or one is empty or equals another.
            TemplateError: the row lacks a field of ``choices:``, or the field holds no text.
        """
        if self.file.kind.labels == "row":
            if example is None:
                raise AssertionError("the choices of such a template are in the row")
            where, remedies = f"{self.name}: example {example.id!r}", ROW
            made = [
                Choice(label, self._choice(example, text))
                for label, text in self._row_choices(example).items()
            ]
        else:
            where, remedies = self.name, LABELS
            self._check_separable()
            context: dict[str, JSON] = {
                "labels": list(self.labels.values()),
                "words": dict(self.words),
            }
            made = [
                Choice(label, self.file.target.render({**context, "label": word}))
                for label, word in self.labels.items()
            ]
        terminator = self.file.stop[0] if self.file.stop else "\n"
        return end_choices(check_choices(made, where, remedies), self.file.choice_end, terminator)

    def _check_separable(self) -> None:
        """Refuse words that a list of labels could not be split into again."""
        if self.file.kind.gold != "set":
            return
        head = self.file.head
        for label, word in self.labels.items():
            if split_labels(word, head.label_separator) != [word.strip()] or word == head.no_labels:
                raise ChoiceError(
                    f"{self.name}: the word {word!r} of the label {label!r} has the separator of "
                    f"labels, {head.label_separator!r}, or is the text for no label; give "
                    "`label_separator:` or `no_labels:` another text"
                )

    def _row_choices(self, example: Example) -> dict[str, str]:
        return read_row_choices(
            self.file.head, f"{self.name}: example {example.id!r}", example.fields
        )

    def _choice(self, example: Example, text: str, half: TemplateHalf | None = None) -> str:
        """Render one choice of a row; the target half reads the same fields as an input half."""
        head = self.file.head
        hidden = {*GOLD, *example.gold, *head.answer_fields, head.label_field}
        hidden -= set(head.shared_fields)
        shown = {name: value for name, value in example.fields.items() if name not in hidden}
        return self._render(half or self.file.target, example, {**shown, "choice": text})

    def given(self, example: Example, label: str) -> str:
        """Render the first half of ``[[channel]]``, which the prompt contains, with a label.

        Raises:
            TemplateError: the label is not among those of the template or the row.
        """
        known = self._row_choices(example) if self.file.kind.labels == "row" else self.labels
        if label not in known:
            raise TemplateError(
                f"{self.name}: example {example.id!r} has the label {label!r}, which is not among "
                f"the {len(known)} labels of [[channel]]{did_you_mean(label, known)}"
            )
        assert self.file.given is not None  # icl.prompts.channel asks whether there is one
        if self.file.kind.labels == "row":
            return self._choice(example, known[label], self.file.given)
        context: dict[str, JSON] = {"labels": list(known.values()), "words": dict(self.words)}
        return self.file.given.render({**context, "label": known[label]})

    def scored(self, example: Example) -> str:
        """Render the second half of ``[[channel]]``: the input, whose probability is scored."""
        assert self.file.scored is not None
        return self._input(self.file.scored, example)

    def prompt(
        self, example: Example, shots: Sequence[Shot] = (), keep: int | None = None
    ) -> Prompt:
        """Render the prompt for one example; its own answer is never rendered.

        Args:
            example: the query.
            shots: examples shown with their answers, in this order.
            keep: most characters left of the query's span marked ``fit``; None for all.

        Raises:
            LeakError: an input half reads the answer.
            TemplateError: a variable is missing; the message names template, line and known fields.
        """
        file = self.file
        return Prompt(
            instruction=self._input(file.instruction, example) if file.instruction else "",
            system=self._input(file.system, example) if file.system else "",
            shots=tuple(
                (self._input(file.input, shot.example), self.shown_target(shot)) for shot in shots
            ),
            query=self._input(file.query or file.input, example, keep),
            separator=file.separator,
            stop=file.stop,
            template=self.name,
            template_hash=self.hash,
            query_id=example.id,
            shot_ids=tuple(shot.example.id for shot in shots),
        )


@lru_cache(maxsize=4096)
def _language_name(tag: str, display: str) -> str:
    return find_language(tag).name(display)


def load_template(
    name: str,
    *,
    language_tag: str = "en",
    label_language: str | None = None,
    label_set: Sequence[str] = (),
    base: str | None = None,
    form: str = "f0",
    own: OwnForms = NO_FORMS,
) -> Template:
    """Read a template by library name (``intent/plain``) or path (``my.j2``), and bind it.

    Args:
        name: library name, or a path ending in ``.j2``, relative to ``base``.
        language_tag: prompt language; a sibling ``plain.de.j2`` is used for ``de``.
        label_language: language of the label words; the prompt language by default.
        label_set: labels of the data, used where the template lists none.
        base: folder that relative paths start from.
        form: which of its :mod:`icl.prompts.layouts`; ``f0`` is the file as it is written.
        own: words and label names of the experiment's own files.

    Raises:
        TemplateError: no such template, malformed, or a word or label is missing in the
            language and the template names no ``fallback``.
    """
    if (binder := _EDITED.get().get(name)) is not None:
        return binder(language_tag, label_language, label_set, own)
    file = varied(read_template(name, language_tag, base), form)
    return bind(file, language_tag, label_language, label_set, own)


def bind(
    file: TemplateFile,
    language_tag: str,
    label_language: str | None,
    label_set: Sequence[str],
    own: OwnForms = NO_FORMS,
) -> Template:
    """Make a template of a parsed file, in the given languages; see :func:`load_template`."""
    file = replace(file, own=own)
    for line, problem in file.find_refused():
        raise TemplateError(f"{file.path}:{line}: {problem}")
    words, missing_words = file.pick_words(language_tag)
    labels: Mapping[str, str] = {}
    missing_labels: list[str] = []
    if file.kind.labels == "shared" or file.kind.gold == "spans":
        labels, missing_labels = file.pick_labels(label_language or language_tag, label_set)
    return Template(file, language_tag, words, labels, (*missing_words, *missing_labels))


Binder = Callable[[str, str | None, Sequence[str], OwnForms], Template]
"""Makes a template from prompt language, label language, labels of the data and own forms."""

_EDITED: ContextVar[Mapping[str, Binder]] = ContextVar("edited", default=MappingProxyType({}))


@contextmanager
def substitute_template(name: str, binder: Binder) -> Iterator[None]:
    """Make :func:`load_template` take the template ``name`` from ``binder`` inside the block.

    Text in an editor is so treated like a saved file, whatever is on disk.
    """
    token = _EDITED.set({**_EDITED.get(), name: binder})
    try:
        yield
    finally:
        _EDITED.reset(token)


@dataclass(frozen=True, slots=True)
class TemplateCopy:
    """A template as a condition folder stores it, complete enough to be bound again."""

    name: str
    text: str
    """Text of the template file, in the layout that was used."""
    language: str
    words: Mapping[str, str]
    labels: Mapping[str, str]
    fallbacks: tuple[str, ...]
    form: str = "f0"
    """Name of the layout; see :mod:`icl.prompts.layouts`."""


def restore(copy: TemplateCopy) -> Template:
    """Bind a template from its stored copy, regardless of later changes to the file."""
    return Template(
        parse_template(copy.text, copy.name, Path(copy.name)),
        copy.language,
        copy.words,
        copy.labels,
        copy.fallbacks,
    )
