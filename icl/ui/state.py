"""What stands on the screen, as an experiment: the way to a prompt is that of ``icl run``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

from icl.conditions import Condition, build
from icl.config import built_in_data, parse_experiment, points
from icl.data import DataSpec, load
from icl.errors import ConfigError, DataError, StoreError, TemplateError
from icl.loader import Loader
from icl.prompts import edited
from icl.registry import did_you_mean, lookup
from icl.sandbox_child import Limits, Sandbox
from icl.store import replace_file
from icl.templates import read_template, template_names
from icl.types import Choice, Prompt, Token

__all__ = [
    "MINE",
    "SAMPLES",
    "SELECTORS",
    "Sample",
    "Screen",
    "Workplace",
    "bars",
    "languages",
    "part_counts",
    "rows_there",
    "save_template",
    "shown",
    "spans",
    "template_choices",
    "template_text",
]

MINE = "prompts-mine"
"""Folder of the user's own templates, under the folder that the app was started in."""
SELECTORS = ("random", "balanced", "bm25")
_NAME = re.compile(r"\w[\w-]{0,63}")
_MOST_SHOWN = 100_000
"""Characters of one text in the browser; what is sent is never cut."""


@dataclass(frozen=True)
class Sample:
    """A data set that ships with the project, and how the screen uses it."""

    data: str
    task: str
    split: str | None = None
    pool: str | None = None
    """Split of the shots."""
    lines: int = 0
    """For sets without splits: the rows up to this line are asked, the others are the pool."""
    ends: int = 0


SAMPLES = {
    sample.data: sample
    for sample in (
        Sample("samples/intent", "intent", split="test", pool="train"),
        Sample("samples/translation", "translation", lines=120, ends=180),
    )
}


@dataclass(frozen=True)
class Screen:
    """Everything that a user has set."""

    name: str
    """Library name, or ``prompts-mine/x.j2``."""
    text: str
    data: str = "samples/intent"
    locale: str | None = "en-US"
    source: str | None = "eng_Latn"
    target: str | None = "deu_Latn"
    words: str = "en"
    """Language of the prompt's own words: ``en``, or ``row`` for that of the row."""
    row: int = 1
    """Counted from 1 in the order of the file."""
    select: str = "random"
    k: int = 3
    seed: int = 0
    max_tokens: int = 64

    @property
    def sample(self) -> Sample:
        """The data set on the screen."""
        if self.data not in SAMPLES:
            raise ConfigError(f"unknown data {self.data!r}{did_you_mean(self.data, SAMPLES)}")
        return SAMPLES[self.data]

    @property
    def spoken(self) -> str:
        """Tag of the prompt language."""
        row = self.target if self.sample.lines else self.locale
        return (row or "en") if self.words == "row" else "en"

    def experiment(self, model: Mapping[str, Any]) -> str:
        """The experiment file that asks what the screen asks, and nothing else."""
        sample = self.sample
        rows: dict[str, Any] = {"data": self.data}
        task: dict[str, Any] = {"task": sample.task, "prompt": self.name, "rows": rows}
        if sample.lines:
            if not 1 <= self.row <= sample.lines:
                raise DataError(f"row {self.row}: {self.data} has the rows 1 to {sample.lines}")
            rows["pair"] = {"from": self.source, "to": self.target}
            task["pool"] = {"lines": [sample.lines + 1, sample.ends]}
        else:
            rows.update(locale=self.locale, split=sample.split)
            task["pool"] = {"split": sample.pool}
        rows["lines"] = [self.row, self.row]
        if lookup("task", sample.task).methods[0] == "generate":
            task["sampling"] = {"max_tokens": self.max_tokens}
        if self.words != "en":
            task["prompt_language"] = self.words
        shots: dict[str, Any] | int = 0
        if self.k:
            shots = {"k": self.k, "select": self.select}
            if lookup("selector", self.select).seeded:
                shots["seed"] = self.seed
        whole = {
            "name": "playground",
            "models": {"model": dict(model)},
            "tasks": [task],
            "grid": {"shots": [shots]},
        }
        return yaml.dump(
            whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None
        )


class _Dumper(yaml.SafeDumper):
    """Without anchors, which experiment files do not accept."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class Workplace:
    """What all sessions share: the model's entry, data once read, the templates' process."""

    def __init__(self, model: Mapping[str, Any], base: Path) -> None:
        self.model = dict(model)
        self.base = base
        """Folder that relative paths start from, as in an experiment file that lies there."""
        self.sandbox = Sandbox(Limits())
        self._loader: Loader | None = None

    def condition(self, screen: Screen) -> Condition:
        """The one condition of the screen's experiment; its template renders in the sandbox.

        Raises:
            IclError: whatever ``icl run`` of the experiment would refuse.
        """
        text = screen.experiment(self.model)
        experiment = parse_experiment(text, "playground", self.base, "playground")
        (point,) = points(experiment)
        if self._loader is None:
            self._loader = Loader(experiment)
        loader = replace(self._loader, experiment=experiment)  # shares what is loaded
        with edited(screen.name, partial(self.sandbox.bind, screen.text, screen.name)):
            return build(point, loader)

    def export(self, screen: Screen) -> str:
        """The experiment as a file to keep, or in comments what is missing for that."""
        if screen.text != template_text(screen.name, screen.spoken, self.base):
            return (
                "# The template is not saved as it stands in the editor.\n"
                "# Save it under a name of your own, and the experiment stands here."
            )
        where = f" in the folder that holds {MINE}/" if screen.name.endswith(".j2") else ""
        return f"# Save as playground.yaml{where}, then: icl run playground.yaml\n" + (
            screen.experiment(self.model)
        )


def template_choices(base: Path) -> list[str]:
    """Library templates, then the user's own."""
    mine = sorted(f"{MINE}/{path.name}" for path in (base / MINE).glob("*.j2"))
    return [*mine, *template_names()]


def template_text(name: str, tag: str, base: Path) -> str:
    """The text of a template in the list, as it is on disk.

    Raises:
        TemplateError: not in the list, or not readable; own ones may be malformed.
    """
    known = template_choices(base)
    if name not in known:
        raise TemplateError(f"unknown template {name!r}{did_you_mean(name, known)}")
    if not name.endswith(".j2"):
        return read_template(name, tag).text
    try:
        return (base / name).read_text("utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"{name}: cannot be read as UTF-8 text: {error}") from error


def save_template(base: Path, name: str, text: str, current: str) -> str:
    """Write a template of the user's own; returns its name in the list.

    Only the template that is open may be written over.

    Raises:
        StoreError: a name that is no plain file name, one that is taken, or no room.
    """
    stem = name.strip().removesuffix(".j2")
    if not _NAME.fullmatch(stem):
        raise StoreError(
            f"{name!r} cannot name a template; accepted: up to 64 letters, digits, - and _, "
            "such as my-intents"
        )
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > Limits().source_bytes:
        raise StoreError(f"the template has {size:,} bytes, {Limits().source_bytes:,} are accepted")
    made = f"{MINE}/{stem}.j2"
    path = base / made
    if path.exists() and made != current:
        raise StoreError(f"{made} is there already; open it from the list, or take another name")
    if path.is_symlink() or path.parent.is_symlink():
        raise StoreError(f"{made} is a link to another place; take another name")
    replace_file(path, shown(text, len(text)))
    return made


@cache
def languages(data: str) -> list[str]:
    """Locales or languages that a sample data set has, by its files."""
    path = built_in_data()[data].path
    if "{lang}" in path:
        folder, pattern = Path(path).parent, Path(path).name.replace("{lang}", "*")
    else:
        folder, pattern = Path(path), "*.jsonl"
    return sorted(file.stem for file in folder.glob(pattern))


@cache
def rows_there(data: str, locale: str | None) -> int:
    """How many rows can be asked."""
    sample, entry = SAMPLES[data], built_in_data()[data]
    if sample.lines:
        return sample.lines
    spec = DataSpec(entry.format, Path(entry.path), locale=locale, split=sample.split)
    return len(load(spec))


def shown(text: str, most: int = _MOST_SHOWN) -> str:
    r"""Text as a browser can be sent it: without halves of characters, long ones cut.

    >>> shown("a\ud800b"), shown("abcdef", 3)
    ('a\ufffdb', 'abc… (3 more characters)')
    """
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    left = len(whole) - most
    return whole if left <= 0 else f"{whole[:most]}… ({left:,} more characters)"


def spans(prompt: Prompt) -> list[tuple[str, str | None]]:
    """The prompt's text in pieces, each with the part it belongs to; separators have none."""
    heads = [part for part in (prompt.system, prompt.instruction) if part]
    parts: list[list[tuple[str, str | None]]] = [[(head, "instruction")] for head in heads]
    parts += [[(a, "shot input"), (b, "shot target")] for a, b in prompt.shots]
    parts.append([(prompt.query, "query")])
    found: list[tuple[str, str | None]] = []
    for place, part in enumerate(parts):
        found += [(prompt.separator, None)] if place else []
        found += part
    return [(text, kind) for text, kind in found if text]


def part_counts(prompt: Prompt, tokens: Iterable[Token]) -> dict[str, int]:
    """Tokens by part; a separator counts to what stands before it.

    A token that spans a border counts where it begins; one that the tokenizer adds, such as a
    begin of text, is ``special``.
    """
    borders: list[tuple[int, str]] = []
    end, part = 0, "instruction"
    for text, kind in spans(prompt):
        part = {None: part, "shot input": "shots", "shot target": "shots"}.get(kind, str(kind))
        end += len(text)
        borders.append((end, part))
    counts = dict.fromkeys(("special", "instruction", "shots", "query"), 0)
    place = 0
    for token in tokens:
        while place < len(borders) - 1 and token.start >= borders[place][0]:
            place += 1
        counts["special" if not token.text else borders[place][1]] += 1
    return counts


def bars(choices: Sequence[Choice], logprobs: Sequence[float]) -> list[tuple[str, float]]:
    """(label, probability among the choices), most probable first; ties in the labels' order."""
    highest = max(logprobs)
    weights = [math.exp(logprob - highest) for logprob in logprobs]
    total = math.fsum(weights)
    pairs = [(c.label, weight / total) for c, weight in zip(choices, weights, strict=True)]
    return sorted(pairs, key=lambda pair: -pair[1])
