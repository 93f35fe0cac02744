"""A data set of the hub, from a hub on loopback: pin_commit, kept, and read again without it."""

import json
import os
import subprocess
import sys

import pytest

from tests.fakehub import NEW, OLD, hub
from tests.forks import forks

pytest.importorskip("datasets")

CODE = """
import json, sys
from pathlib import Path
from icl.data import DataSpec, load, pin_commit
from icl.core.errors import IclError

for revision in json.loads(sys.argv[1]):
    name = "org/nix" if revision == "other" else "org/reviews"
    spec = DataSpec("hf", Path(name), split="test", answer="label", revision=revision)
    try:
        print(json.dumps([pin_commit(spec).revision, [row.targets[0] for row in load(spec)]]))
    except IclError as error:
        print(json.dumps([str(error)]))
"""


TEMPLATE = """---
task: classify
labels: {old: old, new: new}
---
{{ text }}:||| {{ label }}
"""


def environment(folder, url):
    """A process that knows that hub only, none without an address."""
    return {
        **os.environ,
        "HF_ENDPOINT": url,
        "HF_HUB_OFFLINE": "0" if url else "1",
        "HF_HOME": str(folder / "hf"),
        "ICL_CACHE": str(folder / "icl"),
    }


@pytest.fixture(scope="module")
def online(tmp_path_factory):
    """The folder of caches, what the hub was asked, and processes that know that hub only."""
    folder = tmp_path_factory.mktemp("online")
    with (
        hub() as (url, asked),
        forks("datasets", "icl.cli", environment=environment(folder, url)) as run,
    ):
        yield folder, asked, run


def arguments(*words):
    return f"import sys; sys.argv = {['icl', *words]}\n"


def lines(done):
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def read(folder, url, revisions):
    """[commit, labels] or [error] for each revision, in a process that knows another hub."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(revisions)],
        env=environment(folder, url),
        capture_output=True,
        text=True,
        check=True,
    )
    return lines(done)


def test_a_revision_is_resolved_fetched_once_and_read_again_without_the_hub(online, tmp_path):
    folder, asked, run = online

    def ask(*revisions):
        (done,) = run(tmp_path, arguments(json.dumps(revisions)) + CODE)
        return lines(done)

    found = ask(None, OLD, "v1", "nix", "other")
    assert found[:3] == [[NEW, ["new"] * 4], [OLD, ["old"] * 4], [OLD, ["old"] * 4]]
    assert found[3][0].startswith(
        "the hub has no such revision: data set 'org/reviews' at revision 'nix'; check its"
    )
    assert found[4][0].startswith("the hub has no such data set: data set 'org/nix' at")
    del asked[:]
    assert ask(OLD, NEW) == [found[1], found[0]]
    assert not [request for request in asked if "/datasets/" in request]
    assert sum("test.jsonl" in request for request in asked) == 0
    (down,) = read(folder, "http://127.0.0.1:9", [None])
    assert down[0].startswith("the hub cannot be reached for the data set 'org/reviews' (Connect")
    offline = read(folder, "", [NEW, None, "f" * 40])
    assert offline[0] == found[0]
    for (error,) in offline[1:]:
        assert error.startswith("the hub cannot be reached for the data set 'org/reviews'")
        assert error.endswith(f"(there: {OLD}, {NEW})")


def test_a_run_says_the_commit_it_read_and_keeps_it(online, tmp_path):
    (tmp_path / "t.j2").write_text(TEMPLATE)
    data = {"format": "hf", "path": "org/reviews", "answer": "label"}
    task = {"task": "intent", "prompt": "t.j2", "rows": {"data": "reviews", "split": "test"}}
    models = {"t": {"engine": "table", "default": "hash"}}
    told, revisions = {}, {}
    *_, run = online
    for name, extra in (
        ("newest", {}),
        ("pin_commit", {"revision": NEW}),
        ("old", {"revision": OLD}),
    ):
        text = {"models": models, "data": {"reviews": data | extra}, "tasks": [task]}
        (tmp_path / f"{name}.yaml").write_text(json.dumps(text))
        command = arguments("run", str(tmp_path / f"{name}.yaml"))
        (done,) = run(tmp_path, f"{command}from icl.cli import main\nmain()")
        assert not done.returncode, done.stderr
        told[name] = " ".join(done.stderr.split())
        manifest = json.loads((tmp_path / "runs" / name / "manifest.json").read_text())
        folder = tmp_path / "runs" / "conditions" / manifest["conditions"][0]["folder"]
        about = json.loads((folder / "condition.json").read_text())
        revisions[name] = (folder, about["identity"]["revisions"])
    note = f"data reviews: read at the newest revision; write `revision: {NEW}` to keep it"
    assert note in told["newest"]
    assert "revision" not in told["old"]
    assert revisions["newest"][1] == {"reviews": NEW}
    assert revisions["old"][1] == {"reviews": OLD}
    assert revisions["old"][0] != revisions["newest"][0]
