"""A prompt as it was sent, cut into its parts: instruction, shots, query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from icl.core.types import Prompt, Record
from icl.records.results import ConditionResult

__all__ = ["Piece", "bounded", "pieces", "record_pieces"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the text that was sent."""

    kind: str
    """``system``, ``instruction``, ``input`` and ``target`` (of a shot), ``query``, ``joint``
    (separators, turns of a chat), ``left`` (how much was left out), or ``sent`` where the parts
    cannot be told apart."""
    text: str


def _parts(prompt: Prompt) -> Iterator[Piece]:
    yield Piece("system", prompt.system)
    yield Piece("instruction", prompt.instruction)
    for source, target in prompt.shots:
        yield Piece("input", source)
        yield Piece("target", target)
    yield Piece("query", prompt.query)


def pieces(prompt: Prompt, sent: str) -> list[Piece]:
    r"""The parts of a prompt as they stand in the text that was sent.

    The pieces joined are ``sent`` itself. A chat drops white space around its turns, so a part
    may stand there without its own.

    >>> prompt = Prompt("Q: b\nA:", shots=(("Q: a\nA:", " x"),))
    >>> [piece.kind for piece in pieces(prompt, prompt.text)]
    ['input', 'target', 'joint', 'query']
    """
    found: list[Piece] = []
    at = 0
    for part in _parts(prompt):
        for text in (part.text, part.text.strip()):
            start = sent.find(text, at) if text else -1
            if start >= 0:
                break
        if not part.text.strip():
            continue
        if start < 0:
            return [Piece("sent", sent)]
        if start > at:
            found.append(Piece("joint", sent[at:start]))
        found.append(Piece(part.kind, text))
        at = start + len(text)
    if at < len(sent):
        found.append(Piece("joint", sent[at:]))
    return found


def record_pieces(condition: ConditionResult, record: Record) -> tuple[list[Piece], bool]:
    """The parts of a record's prompt, rendered again, and whether that is what was sent.

    The noisy channel has a prompt for every choice: that of the answer is shown, and behind it
    the input that was scored.

    Raises:
        IclError: what the folder keeps cannot be rendered.
    """
    prompts, scored = condition.prompts(record), condition.scored(record)
    place = record.logprobs.index(max(record.logprobs)) if scored is not None else 0
    shown = pieces(prompts[place], condition.sent(prompts[place]))
    if scored is not None:
        shown.append(Piece("target", scored))
    return shown, condition.hash_again(record) == record.request


def bounded(found: list[Piece], most: int) -> list[Piece]:
    """The pieces, with the middle left out where they have more than ``most`` characters.

    The beginning (instruction, first shots) and the end (the query) stay.
    """
    whole = sum(len(piece.text) for piece in found)
    if whole <= most:
        return found
    head, tail = most // 2, most - most // 2
    cut = whole - head - tail
    said = Piece("left", f"… {cut:,} characters left out here …")
    return [*_within(found, 0, head), said, *_within(found, whole - tail, whole)]


def _within(found: list[Piece], start: int, end: int) -> Iterator[Piece]:
    at = 0
    for piece in found:
        text = piece.text[max(0, start - at) : max(0, end - at)]
        at += len(piece.text)
        if text:
            yield Piece(piece.kind, text)
