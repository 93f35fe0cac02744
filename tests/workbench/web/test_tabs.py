"""The page built and served without a browser: what it loads, whom it answers, what it wires."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forks import Forks, forks


@pytest.fixture(scope="module")
def with_gradio() -> Iterator[Forks]:
    pytest.importorskip("gradio")
    page = ("gradio", "uvicorn", "icl.workbench.web.launch", "icl.workbench.web.tabs")
    with forks(*page, environment={"GRADIO_ANALYTICS_ENABLED": "False"}) as run:
        yield run


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


def test_the_first_page_needs_neither_a_model_nor_what_runs_one(
    with_gradio: Forks, tmp_path: Path
) -> None:
    (told,) = with_gradio(tmp_path, FIRST_PAGE)
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


def test_leaving_the_chooser_of_templates_brings_no_old_data_set_back(
    with_gradio: Forks, tmp_path: Path
) -> None:
    (told,) = with_gradio(tmp_path, TURNS)
    assert told.stdout.splitlines() == [
        "samples/intent ['translation/plain', 'samples/translation', 'samples/translation']",
        "[]",
        "samples/translation",
        "['samples/translation']",
    ], told.stderr


ATTACK = """
import http.client, json, os, sys
from icl.workbench.web.launch import serve

EVIL = {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"}
ROUTES = [
    ("GET", "/"), ("HEAD", "/"), ("GET", "/config"), ("GET", "/theme.css"),
    ("GET", "/assets/index.js"), ("GET", "/static/img/logo.svg"), ("GET", "/openapi.json"),
    ("GET", "/gradio_api/info"), ("GET", "/gradio_api/startup-events"),
    ("GET", "/gradio_api/heartbeat/abc"), ("GET", "/gradio_api/queue/data?session_hash=abc"),
    ("GET", "/gradio_api/file=/etc/hostname"), ("POST", "/gradio_api/queue/join"),
    ("POST", "/gradio_api/run/predict"), ("POST", "/gradio_api/api/predict"),
    ("POST", "/gradio_api/call/predict"), ("POST", "/gradio_api/upload"),
    ("POST", "/gradio_api/cancel"), ("POST", "/gradio_api/reset"), ("POST", "/login"),
    ("OPTIONS", "/gradio_api/run/predict"),
]
BODY = json.dumps({"fn_index": 3, "data": ["x"], "session_hash": "abc"})

def ready(url):
    port = int(url.split(":")[2].split("/")[0])
    token = url.partition("?token=")[2]
    cookie = {"Cookie": f"icl-token-{port}={token}"}
    def ask(method, path, headers, body=None):
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        line.request(method, path, body, {"Content-Type": "application/json", **headers})
        return line.getresponse()
    found = {}
    evil = {key: value.format(port=port) for key, value in EVIL.items()}
    local = {"Host": f"localhost:{port}"}
    for method, path in ROUTES:
        body = BODY if method == "POST" else None
        found[f"{method} {path}"] = [
            ask(method, path, evil | cookie, body).status,
            ask(method, path, {"Host": evil["Host"]} | cookie, body).status,
            ask(method, path, {"Origin": evil["Origin"]} | cookie, body).status,
            ask(method, path, {}, body).status,
            ask(method, path, local, body).status,
        ]
    own = [ask("GET", path, cookie).status for path in ("/", "/config", "/theme.css")]
    off = [ask("GET", path, cookie).status for path in ("/openapi.json", "/docs", "/redoc",
           "/gradio_api/openapi.json", "/gradio_api/info")]
    print(json.dumps([found, own, off]), flush=True)
    os._exit(0)

serve(ready=ready)
"""


def test_no_route_of_the_server_answers_a_strange_host_or_origin(
    with_gradio: Forks, tmp_path: Path
) -> None:
    (told,) = with_gradio(tmp_path, ATTACK)
    assert told.stdout, told.stderr
    found, own, off = json.loads(told.stdout)
    assert {route: status for route, status in found.items() if status != [403] * 5} == {}
    assert len(found) == 21 and own == [200] * 3 and off == [404] * 5


PASSWORD = """
import json, os, time, urllib.parse, urllib.request
from icl.workbench.web.launch import serve

def ready(url):
    assert "token" not in url
    def login(word):
        data = urllib.parse.urlencode({"username": "me", "password": word}).encode()
        began = time.perf_counter()
        try:
            status = urllib.request.urlopen(url + "login", data).status
        except urllib.error.HTTPError as error:
            status = error.code
        return status, time.perf_counter() - began
    wrong, right = login("no"), login("yes")
    try:
        urllib.request.urlopen(url + "config")
        open_ = True
    except urllib.error.HTTPError as error:
        open_ = error.code
    print(json.dumps([wrong[0], wrong[1] >= 1, right[0], right[1] < 1, open_]), flush=True)
    os._exit(0)

os.environ["ICL_APP_AUTH"] = "me:yes"
serve(host="127.0.0.1", ready=ready)
"""


def test_a_password_stands_in_for_the_token_and_a_wrong_one_takes_a_second(
    with_gradio: Forks, tmp_path: Path
) -> None:
    (told,) = with_gradio(tmp_path, PASSWORD)
    assert told.stdout, told.stderr
    assert json.loads(told.stdout) == [400, True, 200, True, 401]


WIRED = """
import sys, pathlib, tempfile
import gradio as gr
from icl.workbench.web.tabs import App, build
from icl.workbench.workbench import Workbench
with tempfile.TemporaryDirectory() as folder, gr.Blocks() as page:
    base = pathlib.Path(folder)
    work = Workbench({"t": {"engine": "table", "default": "hash"}}, base, base / "private")
    build(App(work))
    work.sandbox.close()
asking = [event.fn for event in page.fns.values() if event.concurrency_id == "engine"]
print(len(asking) >= 8, {fn.__qualname__ for fn in asking})
"""


def test_whatever_asks_the_model_waits_in_the_line(with_gradio: Forks, tmp_path: Path) -> None:
    (told,) = with_gradio(tmp_path, WIRED)
    assert told.stdout == "True {'wait_in_queue.<locals>.asking'}\n", told.stderr
