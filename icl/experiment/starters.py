"""Starters: a folder with an experiment that runs at once, and an experiment around a template."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

from icl.core.errors import ConfigError, StoreError
from icl.core.files import replace_file
from icl.core.registry import did_you_mean
from icl.core.safe_text import clean
from icl.experiment.entries import NAME, NAME_TOLD
from icl.experiment.file import load_experiment, parse_experiment
from icl.experiment.grid import Experiment
from icl.experiment.json_schema import write_schema
from icl.experiment.samples import make_sample_task
from icl.prompts.template_file import read_template

__all__ = [
    "TASK_WORDS",
    "check_new_folder",
    "find_starters",
    "init",
    "is_experiment",
    "make_experiment",
    "place_model",
    "write_comment",
]


TASK_WORDS = {"translate": "translation", "summarize": "summarization"}
"""Another word for a task -> the task's name."""


def is_experiment(name: str) -> bool:
    """Return whether a file name is that of an experiment; other names are those of templates."""
    return name.endswith((".yaml", ".yml"))


def make_experiment(name: str, model: str) -> Experiment:
    """Load an experiment file, or make an experiment of a template: its sample data and 2 shots.

    Args:
        name: path of an experiment file or of a ``.j2`` file, or the name of a library template.
        model: source of the model to use if ``name`` is a template.

    Raises:
        IclError: the file does not exist or is malformed.
    """
    if is_experiment(name):
        return load_experiment(name)
    template = read_template(name, base=".")
    made = {
        "models": {"model": {"source": model}},
        "tasks": [{**make_sample_task(name, template.kind), "prompt": name}],
        "grid": {"shots": [{"k": 2, "select": "random"}]},
    }
    return parse_experiment(json.dumps(made), name, Path("."), "template")


def find_starters() -> dict[str, Path]:
    """Return task -> the folder of files that :func:`init` copies."""
    root = Path(str(files("icl.experiment"))) / "starters"
    return {path.name: path for path in sorted(root.iterdir()) if path.is_dir()}


def init(folder: Path, task: str, model: str) -> list[Path]:
    """Write a small experiment with template, rows and shots; return the files.

    Args:
        folder: the folder to create; its last part is the experiment's name.
        task: one of :func:`find_starters`.
        model: source of the model; a local path becomes absolute.

    Raises:
        ConfigError: unknown task, or a name that no experiment can have.
        StoreError: the folder is not empty, or cannot be written.
    """
    known = find_starters()
    task = TASK_WORDS.get(task, task)
    if task not in known:
        raise ConfigError(f"no starter for the task {task!r}{did_you_mean(task, known)}")
    check_new_folder(folder)
    quoted = json.dumps(place_model(model), ensure_ascii=False)[1:-1]
    filled = {"@NAME@": folder.name, "@FOLDER@": write_comment(str(folder))[2:], "@MODEL@": quoted}
    written: list[Path] = []
    for source in sorted(known[task].iterdir()):
        text = source.read_text("utf-8")
        for mark, value in filled.items():
            text = text.replace(mark, value)
        written.append(folder / source.name)
        replace_file(written[-1], text)
    written.append(folder / "experiment.schema.json")
    replace_file(written[-1], write_schema("experiment"))
    return written


def check_new_folder(folder: Path) -> None:
    """Check that a folder can be created for an experiment called by its last part.

    Raises:
        ConfigError: a name that no experiment can have.
        StoreError: the folder is there and not empty.
    """
    if not re.fullmatch(NAME, folder.name):
        raise ConfigError(f"{folder.name!r} cannot name an experiment; {NAME_TOLD}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} exists already and nothing is overwritten; name another")


def place_model(model: str) -> str:
    """Return the source of a model; a local path becomes absolute."""
    local = Path(model).expanduser()
    return str(local.resolve()) if local.exists() else model


def write_comment(text: str) -> str:
    r"""Write a comment of YAML on one line, whatever characters its text has.

    >>> write_comment("a\nb")
    '# a b'
    """
    return "# " + clean(re.sub("[\r\n\x85\u2028\u2029]", " ", text))
