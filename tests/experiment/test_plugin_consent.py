"""Plug-ins of a run are imported again only as this user ran them, whatever lies there by now."""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from icl.core import registry
from icl.core.errors import ConfigError
from icl.core.files import find_cache_dir
from icl.experiment.file import load_experiment
from icl.experiment.plugin_files import find_imported_files
from icl.records.results import load_run
from icl.running.run import run
from tests.cli.test_cli import call
from tests.table_experiment import write

PLUG = "from icl import register\n\n\n@register('parser', 'mine')\ndef mine(output, choices=()):\n"
PLUG += "    return 'x'\n"
EVIL = "from pathlib import Path\nPath(__file__).with_name('started').write_text('')\n"


@pytest.fixture(autouse=True)
def forget(own_registry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Modules and names that a test brings in are gone after it; its consents are its own."""
    monkeypatch.setenv("ICL_CACHE", str(tmp_path / "cache"))
    yield
    new_process()


def new_process() -> None:
    """Forget what was imported from folders of tests."""
    for name, module in list(sys.modules.items()):
        if "/here" in str(getattr(module, "__file__", None)):
            del sys.modules[name]
    for name in ("mine", "mine.spaced", "named"):
        sys.modules.pop(name, None)


def ran(tmp_path: Path, files: dict[str, str], plugins: tuple[str, ...] = ("mine",)) -> Path:
    """A folder with these files, whose experiment was run here, as a new process finds it."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    tasks = json.loads(write(folder).read_text())["tasks"][:1]
    run(write(folder, tasks=tasks, plugins=list(plugins)), folder / "runs")
    new_process()
    load_run("small", folder / "runs")
    new_process()
    return folder


def refused(folder: Path, *what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_run("small", folder / "runs")
    told = str(caught.value)
    assert any(one in told for one in what), told
    assert told.endswith("; read it, then run the experiment again: existing answers are reused")
    assert "\n" not in told
    assert not list(folder.rglob("started")), "it ran"


def replaced(name: str, text: str = EVIL) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


PACKAGE = {
    "mine/__init__.py": "from . import deep\nfrom .reader import *\n",
    "mine/deep.py": "",
    "mine/reader.py": f"from .sub.word import WORD\n{PLUG}",
    "mine/sub/__init__.py": "",
    "mine/sub/word.py": "import top\nWORD = 'x'\n",
    "top.py": "",
}
HELPER = {"mine.py": f"import helper\n{PLUG}", "helper.py": "import importlib\n"}
SPACE = {"mine/spaced.py": f"from mine import far\n{PLUG}", "mine/far.py": ""}
DYNAMIC = {
    "mine.py": f"import importlib\nimportlib.import_module('na' + 'med')\n{PLUG}",
    "named.py": "",
}


@pytest.mark.parametrize(
    ("files", "attack", "what"),
    [
        ({"mine.py": PLUG}, replaced("mine.py"), "mine.py was changed"),
        (HELPER, replaced("helper.py"), "helper.py was changed"),
        (HELPER, removed("helper.py"), "helper.py was removed"),
        (PACKAGE, replaced("mine/__init__.py"), "mine/__init__.py was changed"),
        (PACKAGE, replaced("mine/deep.py"), "mine/deep.py was changed"),
        (PACKAGE, replaced("mine/reader.py"), "mine/reader.py was changed"),
        (PACKAGE, replaced("mine/sub/__init__.py"), "mine/sub/__init__.py was changed"),
        (PACKAGE, replaced("mine/sub/word.py"), "mine/sub/word.py was changed"),
        (PACKAGE, replaced("top.py"), "top.py was changed"),
        (DYNAMIC, replaced("named.py"), "named.py was changed"),
    ],
)
def test_other_code_is_refused(
    tmp_path: Path, files: dict[str, str], attack: Callable[[Path], None], what: str
) -> None:
    folder = ran(tmp_path, files)
    attack(folder)
    refused(folder, what)


def test_a_package_without_a_file_is_followed(tmp_path: Path) -> None:
    folder = ran(tmp_path, SPACE, ("mine.spaced",))
    (folder / "mine" / "far.py").write_text(EVIL)
    refused(folder, "mine/far.py was changed")


def test_a_file_that_takes_the_place_of_another_is_refused(tmp_path: Path) -> None:
    folder = ran(tmp_path, {"mine.py": f"import wave_\n{PLUG}", "wave_.py": ""})
    (folder / "wave_").mkdir()
    (folder / "wave_" / "__init__.py").write_text(EVIL)
    refused(folder, "wave_/__init__.py was added")


def test_a_file_in_front_of_an_installed_module_is_refused(tmp_path: Path) -> None:
    folder = ran(tmp_path, {"mine.py": f"import this_is_lazy\n{PLUG}", "this_is_lazy.py": ""})
    (folder / "mine.py").write_text(f"try:\n    import nntplib_\nexcept ImportError: ...\n{PLUG}")
    run(folder / "small.yaml", folder / "runs")
    new_process()
    load_run("small", folder / "runs")
    new_process()
    (folder / "nntplib_.py").write_text(EVIL)
    refused(folder, "nntplib_.py was added")


def test_no_neighbour_comes_in_that_no_statement_names(tmp_path: Path) -> None:
    """A name that an installed module imports, or that is put together, is not looked for."""
    text = "import importlib\ntry:\n    importlib.import_module('la' + 'ter')\n"
    text += "except ImportError:\n    pass\n"
    folder = ran(tmp_path, {"mine.py": text + PLUG})
    (folder / "later.py").write_text(EVIL)
    load_run("small", folder / "runs")
    assert not (folder / "started").exists()


def test_a_compiled_file_beside_it_does_not_run(tmp_path: Path) -> None:
    folder = ran(tmp_path, {"mine.py": PLUG})
    source, other = folder / "mine.py", folder / "other.py"
    other.write_text(EVIL)
    compiled = importlib.util.cache_from_source(str(source))
    py_compile.compile(
        str(other),
        compiled,
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    assert os.path.exists(compiled)
    load_run("small", folder / "runs")
    assert not list(folder.rglob("started"))
    assert registry.lookup("parser", "mine")("y") == "x"


def test_running_it_again_consents_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ran(tmp_path, {"mine.py": PLUG})
    (folder / "mine.py").write_text(PLUG.replace("'x'", "'y'"))
    monkeypatch.chdir(folder)
    for command in (
        "show small#1/r3",
        "score small",
        "report small",
        "compare small --by shots",
        "export small#1",
    ):
        code, _, told = call(capsys, monkeypatch, *command.split())
        assert code == 2 and "mine.py was changed; read it, then run the experiment" in told
        assert len(told.splitlines()) == 1
    assert call(capsys, monkeypatch, "run", "small.yaml")[0] == 0
    new_process()
    assert call(capsys, monkeypatch, "show", "small#1/r3")[0] == 0


def test_the_same_code_elsewhere_is_the_same_plugin(tmp_path: Path) -> None:
    folder = ran(tmp_path, HELPER)
    moved = tmp_path / "moved"
    shutil.move(folder, moved / "here")
    load_run("small", moved / "here" / "runs")
    new_process()
    (moved / "here" / "helper.py").write_text(EVIL)
    with pytest.raises(ConfigError, match="'mine' of .*here, which was never run by you here"):
        load_run("small", moved / "here" / "runs")
    assert not list(moved.rglob("started"))


def test_a_note_of_an_earlier_version_is_no_consent(tmp_path: Path) -> None:
    folder = ran(tmp_path, {"mine.py": PLUG})
    note = find_cache_dir() / "plugins.jsonl"
    note.write_text(json.dumps([str(folder.resolve()), "mine"]) + '\n{"base": "cut sho')
    refused(folder, "'mine' of ")


def test_what_was_imported_is_noted_and_not_what_lies_there_later(tmp_path: Path) -> None:
    """A file that is replaced between its import and the run's first record was never run."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "mine.py").write_text(PLUG)
    tasks = json.loads(write(folder).read_text())["tasks"][:1]
    experiment = load_experiment(write(folder, tasks=tasks, plugins=["mine"]))
    (folder / "mine.py").write_text(EVIL)
    run(experiment, folder / "runs")
    new_process()
    refused(folder, "mine.py was changed")


def test_an_installed_plugin_is_known_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "here-site"
    place.mkdir()
    (place / "mine.py").write_text(PLUG)
    monkeypatch.syspath_prepend(str(place))
    folder = ran(tmp_path, {})
    other = tmp_path / "other-site"
    other.mkdir()
    (other / "mine.py").write_text(EVIL)
    monkeypatch.syspath_prepend(str(other))
    refused(folder, f"'mine' is found in {other / 'mine.py'} now")
    assert not (other / "started").exists()
    (folder / "mine.py").write_text(EVIL)
    refused(folder, "mine.py was added")


def test_imports_are_read_from_statements_alone(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "e", "lone"):
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "__init__.py").write_text("")
    (tmp_path / "p" / "starred.py").write_text("")
    (tmp_path / "p" / "q.py").write_text("from .. import x\nfrom . import starred\n")
    (tmp_path / "m.py").write_text(
        "import a, json\nfrom b import x\ndef f():\n    import c\n"
        "import importlib\nimportlib.import_module('d')\n__import__('e')\nfrom p import *\n"
        "raise SystemExit('never run')\n"
    )
    assert sorted(find_imported_files(["m"], tmp_path)) == [
        "a.py",
        "b.py",
        "c.py",
        "d.py",
        "e.py",
        "m.py",
        "p/__init__.py",
        "p/q.py",
        "p/starred.py",
    ]
    assert sorted(find_imported_files(["p.q", "nowhere", "json"], tmp_path)) == [
        "p/__init__.py",
        "p/q.py",
        "p/starred.py",
    ]
