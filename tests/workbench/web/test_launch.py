"""The web workbench without a browser: where it listens, and what it loads."""

from __future__ import annotations

import importlib.util
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
