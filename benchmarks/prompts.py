"""The requests of all benchmarks, from the sample data, so that they are the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from icl.core.types import Example, Prompt, Shot
from icl.data import DataSpec, load
from icl.prompts.template import load_template
from icl.selectors.bm25 import BM25

__all__ = [
    "SAMPLES",
    "bm25_intents",
    "choices",
    "fixed_intents",
    "long_texts",
    "sentences",
    "translations",
]

SAMPLES = Path(__file__).parents[1] / "samples"
INTENT = "intent/plain"

Pair = tuple[Prompt, str]

_CHINESE = (
    ("The library closes at six on Sundays.", "图书馆星期天六点关门。"),
    ("He forgot his keys in the car.", "他把钥匙忘在车里了。"),
    ("This train does not stop at the old harbour.", "这趟火车不在旧港停。"),
    ("We planted three apple trees behind the house.", "我们在房子后面种了三棵苹果树。"),
    ("Her answer surprised everyone in the room.", "她的回答让房间里的每个人都很惊讶。"),
)
"""Written for this project: the samples have no Chinese."""


def choices() -> list[str]:
    """List the 60 intents as the template writes them, without an end, as the other tool does."""
    return [choice.text for choice in load_template(INTENT).choices()]


@cache
def _intents(split: str) -> list[Example]:
    return load(DataSpec("massive", SAMPLES / "intent", locale="en-US", split=split))


def fixed_intents(n: int, k: int) -> list[Prompt]:
    """``n`` utterances, all after the same ``k`` shots."""
    shots = [Shot(example) for example in _intents("train")[:k]]
    template = load_template(INTENT)
    return [template.prompt(example, shots) for example in _intents("test")[:n]]


def bm25_intents(n: int, k: int) -> list[Prompt]:
    """``n`` utterances, each after the ``k`` training utterances most like it, nearest last."""
    selector, template = BM25(), load_template(INTENT)
    selector.fit(_intents("train"))
    return [
        template.prompt(example, selector.select(example, k)[::-1])
        for example in _intents("test")[:n]
    ]


def translations(n: int) -> list[Pair]:
    """``n`` sentences each into Swahili, Hindi and Chinese, with four candidates each."""
    pairs: list[Pair] = []
    for target in ("swh_Latn", "hin_Deva"):
        spec = DataSpec(
            "lines",
            SAMPLES / "translation" / "{lang}.txt",
            source="eng_Latn",
            target=target,
            lines=(121, 125 + n),
        )
        rows = load(spec)
        template = load_template("translation/plain")
        shots = [Shot(row) for row in rows[:2]]
        prompts = [template.prompt(row, shots) for row in rows[2 : 2 + n]]
        pairs += _candidates(prompts, [" " + row.targets[0] for row in rows[2:]])
    made = [(f"English: {source}\nChinese:", f" {target}") for source, target in _CHINESE]
    prompts = [Prompt(query, shots=(made[0],)) for query, _ in made[1 : 1 + n]]
    return pairs + _candidates(prompts, [target for _, target in made[1:]])


def sentences(n: int, k: int) -> list[Prompt]:
    """``n`` sentences to translate into German, all after the same ``k`` translations."""
    path = SAMPLES / "translation" / "{lang}.txt"
    rows = load(DataSpec("lines", path, source="eng_Latn", target="deu_Latn"))
    template = load_template("translation/plain")
    shots = [Shot(row) for row in rows[-k:]]
    return [template.prompt(row, shots) for row in rows[:n]]


def long_texts(n: int) -> list[Pair]:
    """``n`` articles after two whole ones, each with four candidate summaries."""
    path = SAMPLES / "summarization" / "news.eng.jsonl"
    rows = load(DataSpec("jsonl", path, answer="summary", gold=("references",)))
    made = [(f"{row.fields['document']}\nSummary:", f" {row.targets[0]}") for row in rows]
    prompts = [Prompt(query, shots=tuple(made[:2])) for query, _ in made[2 : 2 + n]]
    return _candidates(prompts, [target for _, target in made[2:]])


def _candidates(prompts: Sequence[Prompt], targets: Sequence[str]) -> list[Pair]:
    """Each prompt with its own target and the three after it."""
    return [
        (prompt, targets[(i + step) % len(targets)])
        for i, prompt in enumerate(prompts)
        for step in range(4)
    ]
