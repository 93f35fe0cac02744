"""Is every family right? A tiny random model of each against one plain forward pass a text."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from benchmarks.tiny_families import NotBuilt, list_families, save_family
from icl.core.errors import IclError
from icl.core.types import Prompt, Sampling

__all__ = ["Outcome", "Verdict", "format_table", "list_families", "sweep", "try_family"]

Verdict = Literal["equal", "plain", "refused", "no model", "DIFFERENT", "ERROR"]
LIMIT = 1e-3
"""Nats by which a sum in float32 may differ from one in float64; a wrong mask is 0.1 off."""
LIMIT_S = 120.0
"""Seconds after which a family is given up."""
DOCS = Path(__file__).parent.parent / "docs" / "models.md"
BEGIN, END = "<!-- families: begin -->", "<!-- families: end -->"
PROMPTS = [
    Prompt("Utterance: wake me up at nine am on friday\nIntent:"),
    Prompt(
        "Utterance: set the volume to fifty percent\nIntent: volume up\n\n"
        "Utterance: what is the weather in Nairobi today\nIntent:"
    ),
    Prompt("Utterance: set the volume to fifty percent\nIntent: volume up\n\nUtterance:"),
]
CHOICES = (" alarm set", " volume up", " volume query", " weather")
SAMPLING = Sampling(max_tokens=6)


@dataclass(frozen=True)
class Outcome:
    """What became of a family."""

    family: str
    verdict: Verdict
    line: str = ""
    """Why it is not equal, in one line."""
    nats: float | None = None
    """Largest difference of a log-likelihood from the plain reference."""


class _Heard(logging.Handler):
    """Keeps what the engine tells while it loads."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(" ".join(record.getMessage().split()))


@contextlib.contextmanager
def _hearing() -> Iterator[list[str]]:
    heard, logger = _Heard(), logging.getLogger("icl")
    logger.addHandler(heard)
    try:
        yield heard.lines
    finally:
        logger.removeHandler(heard)


def try_family(family: str, pair: bool, folder: Path) -> Outcome:
    """Make a tiny model of a family and compare everything that is asked of a model.

    Loaded with the memory check; 3 prompts of 4 choices scored together and each alone; greedy
    text of 1 and of 3 prompts. Sliding windows and chunks are shorter than the prompts.
    """
    try:
        save_family(family, folder, pair)
    except NotBuilt as error:
        return Outcome(family, "no model", " ".join(str(error).split()))
    with _hearing() as told:
        try:
            nats, line = _compare(folder, pair)
        except IclError as error:
            return Outcome(family, "refused", " ".join(str(error).split()))
        except Exception as error:  # one family must not end the sweep: it is what is looked for
            place = _place(error)
            return Outcome(family, "ERROR", f"{type(error).__name__}: {error} ({place})")
    if line:
        return Outcome(family, "DIFFERENT", line, nats)
    if told:
        return Outcome(family, "plain", told[-1], nats)
    return Outcome(family, "equal", "", nats)


def _place(error: BaseException) -> str:
    """Find the innermost line of this project that an error passed."""
    at, trace = "", error.__traceback__
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if "/icl/" in path:
            at = f"{path.rpartition('/icl/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return at


def _compare(folder: Path, pair: bool) -> tuple[float, str]:
    """Largest difference in nats, and what differs if anything does."""
    from icl.engines.hf.engine import HFEngine

    engine = HFEngine(str(folder), device="cpu", width="fp32", window=100)
    items = [(prompt, choice) for prompt in PROMPTS for choice in CHOICES]
    together = ask_scores(engine, items)
    reference = _Reference(engine, folder, pair)
    right = reference.scores(items)
    nats = _apart(together, right)
    if not nats < LIMIT:
        return nats, f"scores are {nats:.2g} nat off"
    alone = [score for item in items[::5] for score in ask_scores(engine, [item])]
    if not _apart(alone, right[::5]) < LIMIT:
        return nats, f"scores of one choice alone are {_apart(alone, right[::5]):.2g} nat off"
    for prompts in (PROMPTS[:1], PROMPTS):
        made = {i: output for i, output in engine.generate(prompts, SAMPLING)}
        for i, prompt in enumerate(prompts):
            if wrong := reference.judge(prompt, made[i].text):
                return nats, f"{len(prompts)} prompts generate other text: {wrong}"
    return nats, ""


def _apart(a: Sequence[float], b: Sequence[float]) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def ask_scores(engine: Any, items: Sequence[tuple[Prompt, str]]) -> list[float]:
    found = sorted(engine.score(items), key=lambda pair: pair[0])
    return [score.logprob for _, score in found]


class _Reference:
    """One forward pass a text, of the whole model in float64, without cache, batch or padding."""

    def __init__(self, engine: Any, folder: Path, pair: bool) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

        from icl.engines.hf.weights.hashes import silence_libraries

        self.engine, self.pair = engine, pair
        kind = AutoModelForSeq2SeqLM if pair else AutoModelForCausalLM
        with silence_libraries():
            for dtype in (torch.float64, torch.float32):
                self.model = kind.from_pretrained(folder, dtype=dtype).eval()
                try:
                    if not self.logits((5, 6, 7), (5, 6, 7)).isnan().any():
                        break  # a mask of some families is NaN in float64
                except RuntimeError:  # it casts to float32 inside
                    continue

    def logits(self, source: Sequence[int], target: Sequence[int]) -> Any:  # (tokens, vocabulary)
        import torch

        with torch.no_grad():
            if self.pair:
                out = self.model(
                    input_ids=torch.tensor([source]),
                    attention_mask=torch.ones((1, len(source)), dtype=torch.long),
                    decoder_input_ids=torch.tensor([target]),
                    use_cache=False,
                )
            else:
                out = self.model(input_ids=torch.tensor([target]), use_cache=False)
        return out.logits[0].double()

    def scores(self, items: Sequence[tuple[Prompt, str]]) -> list[float]:
        found = [0.0] * len(items)
        for choices, plan in self.engine.plan_items(items):
            source = getattr(plan, "source", ())
            for indices, suffix in zip(choices.values(), plan.suffixes, strict=True):
                ids = plan.prefix + suffix
                table = self.logits(source, ids[:-1])[-len(suffix) :].log_softmax(-1)
                value = sum(float(row[token]) for row, token in zip(table, suffix, strict=True))
                for i in indices:
                    found[i] = value
        return found

    def judge(self, prompt: Prompt, text: str) -> str:
        """Explain what is wrong with a greedy text; of two equally likely tokens both are right."""
        engine = self.engine
        [group] = engine._requests([prompt], SAMPLING)
        ids, source = group[0].ids, getattr(group[0], "source", ())
        ends = engine.list_ends()
        never = list(getattr(engine.lm, "never", ()))
        made: list[int] = []
        while len(made) < SAMPLING.max_tokens:
            row = self.logits(source, (*ids, *made))[-1]
            row[never] = -float("inf")
            best = row.topk(2)
            if float(best.values[0] - best.values[1]) < LIMIT:
                return ""
            if int(best.indices[0]) in ends:
                break
            made.append(int(best.indices[0]))
        stream = engine.codec.decode([*ids[-8:], *made])[len(engine.codec.decode(ids[-8:])) :]
        whole = stream.rstrip("\ufffd")  # the last tokens may be half a character
        return "" if whole == text.rstrip("\ufffd") else f"{text!r} for {whole!r}"


def sweep(families: dict[str, bool]) -> Iterator[Outcome]:
    """Try families one after the other in a process beside this one, which may crash or hang."""
    child: subprocess.Popen[str] | None = None
    for family, pair in families.items():
        child = child or start_child()
        assert child.stdin is not None
        child.stdin.write(json.dumps([family, pair]) + "\n")
        child.stdin.flush()
        line = _line(child)
        if line is None:
            _end(child)
            yield Outcome(family, "ERROR", f"no answer within {LIMIT_S:.0f} s, or a crash")
            child = None
            continue
        yield Outcome(**json.loads(line))
    if child is not None:
        _end(child)


def _end(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # what it did not read any more
                pipe.close()


def start_child() -> subprocess.Popen[str]:
    code = "from benchmarks.families import serve; serve()"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def _line(child: subprocess.Popen[str]) -> str | None:
    assert child.stdout is not None
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        ready, _, _ = select.select([child.stdout], [], [], 1.0)
        if ready:
            return child.stdout.readline() or None
    return None


def serve() -> None:
    """Answer each line of the input, a family, with a line of the output, its outcome."""
    from transformers.utils import logging as chatter

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what model classes print is no answer
    chatter.set_verbosity(chatter.CRITICAL)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["ICL_CACHE"] = cache
        for line in sys.stdin:
            family, pair = json.loads(line)
            with tempfile.TemporaryDirectory() as folder:
                outcome = try_family(family, pair, Path(folder))
            out.write(json.dumps(asdict(outcome)) + "\n")
            out.flush()


def format_table(outcomes: Sequence[Outcome]) -> str:
    """Return the Markdown of a sweep: counts, what is equal, and a row for each other family."""
    import torch
    import transformers

    counts = Counter(outcome.verdict for outcome in outcomes)
    told = ", ".join(f"{counts[name]} {name}" for name in get_args(Verdict) if counts[name])
    equal = ", ".join(f"`{one.family}`" for one in outcomes if one.verdict == "equal")
    lines = [
        f"transformers {transformers.__version__}, torch {torch.__version__.partition('+')[0]}: "
        f"{len(outcomes)} families, {told}.",
        "",
        f"Equal: {equal}.",
        "",
        "| family | | why |",
        "| --- | --- | --- |",
    ]
    for one in outcomes:
        if one.verdict != "equal":
            why = re.sub(r"'?/[^ ']*/([^/ ']+)'?", r"\1", one.line)
            lines.append(f"| `{one.family}` | {one.verdict} | {why.replace('|', '/')[:200]} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sweep from the command line; 1 where a family is wrong or fails without a word."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", help="which; all of the installed transformers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes there, too")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/models.md")
    given = parser.parse_args(arguments)
    known = list_families()
    if unknown := set(given.families) - known.keys():
        parser.error(f"no such family: {', '.join(sorted(unknown))}")
    outcomes = []
    for outcome in sweep({f: known[f] for f in given.families or known}):
        outcomes.append(outcome)
        nats = "" if outcome.nats is None else f"{outcome.nats:.1e}"
        print(f"{outcome.family:26}{outcome.verdict:10}{nats:9}{outcome.line[:150]}", flush=True)
    counts = Counter(outcome.verdict for outcome in outcomes)
    print(", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    if given.json is not None:
        rows = [asdict(outcome) for outcome in outcomes]
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if given.docs:
        text = DOCS.read_text("utf-8")
        before, after = text.partition(BEGIN)[0], text.partition(END)[2]
        table = format_table(outcomes)
        DOCS.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")
    return int(counts["ERROR"] + counts["DIFFERENT"] > 0)


if __name__ == "__main__":
    sys.exit(main())
