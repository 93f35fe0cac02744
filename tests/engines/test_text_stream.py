from __future__ import annotations

from collections.abc import Sequence

import pytest

from icl.engines.text_stream import TextStream


def decode_bytes(ids: Sequence[int]) -> str:
    """One token a byte, as byte-level tokenizers do at worst."""
    return bytes(ids).decode("utf-8", "replace")


def run(text: str, stops: Sequence[str], cut: int | None = None) -> tuple[TextStream, list[str]]:
    stream = TextStream(decode_bytes, list("prompt é".encode()), stops)
    deltas = [stream.push(byte) for byte in text.encode()[:cut]]
    return stream, [*deltas, stream.close()]


@pytest.mark.parametrize("text", ["plain", "नमस्ते दुनिया", "日本語 👩‍👩‍👧 é", "", "a\nb\n\n"])
def test_deltas_are_whole_characters_and_join_to_the_text(text: str) -> None:
    stream, deltas = run(text, ["END"])
    assert "".join(deltas) == stream.text == text
    assert not any("\ufffd" in delta for delta in deltas)


# (text, stop strings, output)
STOPS = [
    ("hello\nworld", ["\n"], "hello"),
    ("a EEND b", ["END"], "a E"),
    ("one\n\ntwo", ["\n\n", "two"], "one"),
    ("xabc", ["abc", "b"], "xa"),  # "b" is complete before "abc"
    ("no stop", ["END"], "no stop"),
    ("almost EN", ["END"], "almost EN"),
    ("日本。語", ["。"], "日本"),
    ("stop", [""], "stop"),
]


@pytest.mark.parametrize(("text", "stops", "output"), STOPS)
def test_stop_strings(text: str, stops: list[str], output: str) -> None:
    stream, deltas = run(text, stops)
    assert "".join(deltas) == stream.text == output
    assert stream.stopped == (output != text)


@pytest.mark.parametrize(("text", "stops", "output"), STOPS)
def test_token_borders_do_not_matter(text: str, stops: list[str], output: str) -> None:
    stream = TextStream(lambda ids: text if list(ids) == [1] else "", [], stops)
    given = stream.push(1) + stream.close()
    assert given == stream.text == output


def test_half_a_character_at_the_end_is_dropped() -> None:
    stream, deltas = run("ab日", [], cut=4)
    assert "".join(deltas) == stream.text == "ab"


def test_invalid_bytes_inside_are_kept_as_the_replacement_character() -> None:
    stream = TextStream(decode_bytes, [], [])
    deltas = [stream.push(byte) for byte in b"a\xffb"]
    assert "".join([*deltas, stream.close()]) == "a\ufffdb"


def test_the_space_that_a_tokenizer_drops_at_the_start_is_kept() -> None:
    words = ["", "▁Intent:", "▁alarm", "▁set"]

    def decode(ids: Sequence[int]) -> str:  # as the Metaspace decoder of Llama does
        return "".join(words[i] for i in ids).replace("▁", " ").removeprefix(" ")

    stream = TextStream(decode, [1], [])
    deltas = [stream.push(2), stream.push(0), stream.push(3), stream.close()]
    assert deltas == [" alarm", "", " set", ""]
