"""The presets name parsers, metrics and baselines that the package declares under that name."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from icl.tasks.baselines import BASELINES
from icl.tasks.generic import CHOOSE, CLASSIFY, EXTRACT, GENERATE
from icl.tasks.intent import INTENT
from icl.tasks.summarization import SUMMARIZATION
from icl.tasks.translation import TRANSLATION

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def declared(kind):
    """Name -> object of the entry points of a kind, whether the package is installed or not."""
    groups = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["entry-points"]
    group = f"icl.{kind}"
    return {name: EntryPoint(name, path, group).load() for name, path in groups[group].items()}


PRESETS = [INTENT, TRANSLATION, SUMMARIZATION, CLASSIFY, CHOOSE, GENERATE, EXTRACT]


@pytest.mark.parametrize("task", PRESETS, ids=lambda task: task.name)
def test_presets_name_what_there_is(task):
    assert declared("task")[task.name] is task
    assert callable(declared("parser")[task.parser])
    assert set(task.baselines) <= set(BASELINES)
    for metric in task.metrics:
        assert declared("metric")[metric]().name == metric


def test_presets():
    assert (INTENT.kind.name, INTENT.methods) == ("classify", ("rank", "generate", "channel"))
    assert (TRANSLATION.kind.name, TRANSLATION.methods) == ("generate", ("generate",))
    assert INTENT.metrics == ("accuracy", "macro_f1")
    assert TRANSLATION.metrics == ("chrf", "bleu")


def test_parsers_are_declared_under_their_own_names():
    with_options = {"regex": "RegexParser", "number": "NumberParser", "json": "JSONParser"}
    assert {name: parser.__name__ for name, parser in declared("parser").items()} == {
        name: name for name in ("text", "first_line", "label", "label_prefix", "fields")
    } | with_options
