import json

import pytest

from icl.core.errors import ConfigError, DataError
from icl.core.types import Example
from icl.selectors.fixed import FixedShots

META = {"locale": "sw-KE", "split": "train"}
POOL = [
    Example(i, {"utt": f"row {i}", "intent": "x"}, ("x",), META, ("intent",))
    for i in ("10", "11", "12")
]
QUERY = Example("q", {"utt": "query"})
HAND = {"fields": {"utt": "niamshe", "intent": "alarm_set"}, "target": "alarm_set"}


def write(path, rows):
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def fitted(path, pool=POOL):
    selector = FixedShots(file=path)
    selector.fit(pool)
    return selector


def test_order_of_the_file_with_pool_rows_and_rows_by_hand(tmp_path):
    path = write(tmp_path / "s.jsonl", [{"id": "12"}, HAND, "", {"id": "10"}])
    shots = [shot.example for shot in fitted(path).select(QUERY, 9)]
    by_hand = Example("shot:2", HAND["fields"], ("alarm_set",), {"locale": "sw-KE"}, ("intent",))
    assert shots == [POOL[2], by_hand, POOL[0]]
    assert [s.example for s in fitted(path, POOL[::-1]).select(QUERY, 2)] == shots[:2]


def test_no_pool_is_needed_for_rows_by_hand(tmp_path):
    row = {"fields": {"source": "a", "target": "b"}, "targets": ["b", "c"]}
    (shot,) = fitted(write(tmp_path / "s.jsonl", [row]), pool=[]).select(QUERY, 1)
    assert shot.example == Example("shot:1", row["fields"], ("b", "c"), {}, ("target", "label"))
    assert shot.example.inputs == {"source": "a"}


def test_the_query_is_left_out_by_id_and_by_content(tmp_path):
    selector = fitted(write(tmp_path / "s.jsonl", [{"id": "12"}, HAND, {"id": "10"}]))
    gold = ("intent",)
    by_id = selector.select(Example("12", {"utt": "new"}, (), {}, gold), 3)
    by_content = selector.select(Example("new", {"utt": " NIAMSHE"}, (), {}, gold), 3)
    assert [shot.example.id for shot in by_id] == ["shot:2", "10"]
    assert [shot.example.id for shot in by_content] == ["12", "10"]


def test_identity_is_the_content_not_the_path_or_the_spelling(tmp_path):
    one = write(tmp_path / "one.jsonl", [{"id": "12"}, HAND])
    same = write(tmp_path / "same.jsonl", ["", '{ "id":"12" }', dict(reversed(HAND.items()))])
    swapped = write(tmp_path / "swapped.jsonl", [HAND, {"id": "12"}])
    identity = FixedShots(file=one).identity()
    assert list(identity) == ["rows"]
    assert identity == FixedShots(file=same).identity() == fitted(one).identity()
    assert identity != FixedShots(file=swapped).identity()


def test_identity_after_fit_is_that_of_the_shots_read(tmp_path):
    path = write(tmp_path / "s.jsonl", [HAND])
    selector = fitted(path)
    before = selector.identity()
    write(path, [{"id": "12"}])
    assert selector.identity() == before != FixedShots(file=path).identity()


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([{"id": "10"}, {"id": "13"}], ":2: no pool row '13'. Did you mean '12'? There are: 10"),
        ([{"id": "10"}, HAND, {"id": "10"}], ":3: id '10' is also on line 1"),
        ([{"id": 10}], ':1: a row with an id holds a string and nothing else, like {"id": "17"}'),
        ([HAND | {"id": "10"}], ":1: a row with an id holds a string and nothing else"),
        ([{"fields": {"t": "x"}, "tagret": "y"}], ":1: unknown key 'tagret'. Did you mean 'targ"),
        ([{"target": "y"}], ':1: "fields" must be an object, like {"utt": "…"}: None'),
        ([{"fields": {}, "target": "y"}], ':1: "fields" must be an object'),
        ([{"fields": {"t": "x"}}], ':1: either "target" (a string) or "targets" (a list)'),
        ([HAND | {"targets": ["y"]}], ':1: either "target" (a string) or "targets" (a list)'),
        ([{"fields": {"t": "x"}, "target": 1}], ":1: the right answer must be text in quotes: 1"),
        ([{"fields": {"t": "x"}, "targets": []}], ":1: the right answer must be text in quotes"),
        ([{"fields": {"t": "x"}, "targets": "y"}], ":1: the right answer must be text in quotes"),
        (["{"], ":1: not a line of JSON"),
        (["[]"], ":1: a JSON object is needed"),
        ([], ": no shots; write one JSON object per line"),
    ],
)
def test_errors(tmp_path, rows, error):
    path = write(tmp_path / "s.jsonl", rows)
    with pytest.raises(DataError) as caught:
        fitted(path)
    assert str(caught.value).startswith(str(path) + error)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    write(tmp_path / "shots.jsonl", [HAND])
    with pytest.raises(DataError, match=r"no such file.*Did you mean 'shots.jsonl'"):
        fitted(tmp_path / "shot.jsonl")


def test_file_must_be_a_path():
    with pytest.raises(ConfigError, match="file is 3; the path of a JSON Lines file is needed"):
        FixedShots(file=3)
