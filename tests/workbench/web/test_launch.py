"""The web workbench without a browser: where it listens, and what it loads."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from icl.core.errors import ConfigError
from icl.workbench.web import launch
from tests.table_experiment import write


def test_a_host_that_others_reach_needs_a_password() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        assert launch.check_host(host, None) is None
    for host in ("0.0.0.0", "192.168.1.2", "::", "example.org"):
        with pytest.raises(ConfigError, match=r"set ICL_APP_AUTH=NAME:PASSWORD, or leave out"):
            launch.check_host(host, None)
        assert launch.check_host(host, "me:a:b") == ("me", "a:b")
    with pytest.raises(ConfigError, match="must be NAME:PASSWORD"):
        launch.check_host("127.0.0.1", "me")


def test_a_port_that_is_taken_is_said() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1, port {port}"):
            launch.find_port("127.0.0.1", port)
    assert launch.find_port("127.0.0.1", None) >= launch.FIRST_PORT


def test_the_models_of_an_experiment_are_offered(tmp_path: Path) -> None:
    from icl.experiment.file import load_experiment

    given = load_experiment(write(tmp_path))
    assert list(launch.models_of(None, given)) == ["t"]
    assert list(launch.models_of("x.gguf", given)) == ["x.gguf", "t"]
    assert launch.models_of(None, None) == {launch.DEFAULT_MODEL: {"source": launch.DEFAULT_MODEL}}


def icl(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.argv[0] = 'icl'; from icl.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_the_command_refuses_an_open_host_in_one_line() -> None:
    told = icl("app", "--host", "0.0.0.0")
    assert told.returncode == 2
    assert told.stderr.startswith("icl: other machines can reach 0.0.0.0, so a password is needed")
    assert len(told.stderr.splitlines()) == 1


@pytest.mark.skipif(importlib.util.find_spec("gradio") is not None, reason="Gradio is here")
def test_without_gradio_the_extra_is_named() -> None:
    told = icl("app")
    assert "pip install 'icl-workbench[app]'" in told.stderr


def test_what_knows_nothing_of_the_web_loads_no_gradio() -> None:
    code = (
        "import sys, icl.workbench.web.launch, icl.workbench.workbench, icl.workbench.answer; "
        "import icl.records.feedback; "
        "print([m for m in ('gradio', 'torch', 'transformers', 'pandas') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def with_gradio(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the code in a process of its own, where Gradio is installed."""
    pytest.importorskip("gradio")
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "HF_HUB_OFFLINE": "1"},
    )


FIRST_PAGE = """
import os, sys, urllib.request
from icl.workbench.web.launch import serve

def ready(url):
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    place, _, token = url.partition("?token=")
    page = opener.open(url).read() + opener.open(place + "config").read()
    assert len(token) == 43
    heavy = ("torch", "transformers", "scipy", "matplotlib", "bm25s", "sacrebleu", "sklearn")
    print(b"Playground" in page, [name for name in heavy if name in sys.modules], flush=True)
    os._exit(0)

serve(ready=ready)
"""


def test_the_first_page_needs_neither_a_model_nor_what_runs_one(tmp_path: Path) -> None:
    told = with_gradio(FIRST_PAGE, tmp_path)
    assert told.stdout.strip() == "True []", told.stderr


TURNS = """
import gradio
from pathlib import Path
from icl.workbench.web.form_values import PARTS
from icl.workbench.web.tabs import App, build
from icl.workbench.workbench import Workbench

work = Workbench({"t": {"engine": "table", "default": "hash"}}, Path("."), Path("private"))
app = App(work)
with gradio.Blocks():
    build(app)
tab = app.tabs["Playground"]
chosen = {part: getattr(tab.at, part).value for part in PARTS}
name, data = chosen["name"], chosen["data"]

def changes(made):
    return [one for one in made if one != gradio.skip()]

chosen["name"] = "translation/plain"
print(data, changes(tab.choosers.turn(name, data, *chosen.values()))[:3])
# Left before the page holds what the first answer says: its data set is that of the intents.
print(changes(tab.choosers.turn("translation/plain", "samples/translation", *chosen.values())))
chosen["data"] = "samples/translation"
print(changes(tab.choosers.turn_data(data, *chosen.values()))[0])
print(changes(tab.choosers.turn_data("samples/translation", *chosen.values())))
work.sandbox.close()
"""


def test_leaving_the_chooser_of_templates_brings_no_old_data_set_back(tmp_path: Path) -> None:
    told = with_gradio(TURNS, tmp_path)
    assert told.stdout.splitlines() == [
        "samples/intent ['translation/plain', 'samples/translation', 'samples/translation']",
        "[]",
        "samples/translation",
        "['samples/translation']",
    ], told.stderr
