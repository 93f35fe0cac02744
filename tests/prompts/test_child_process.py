"""Templates of strangers: each refused or bounded within about a second, the parent at ease."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from icl.core.errors import LeakError, TemplateError
from icl.core.types import Example, Shot
from icl.data import DataSpec, load
from icl.prompts.child_process import Sandbox, SandboxLimits
from icl.prompts.template import load_template
from icl.prompts.template_file import list_templates, read_template
from tests.hostile import REFUSED

ROW = Example("1", {"ex": {"a": 1}, "rows": [1, 2], "q": "2+2"}, ("4",), {"locale": "en-US"})
LARGE = [
    "{{ 'A'*10**10 }}",
    "{{ [0]*10**10 }}",
    "{{ 'a'.ljust(10**10) }}",
    "{{ 'a'.zfill(10**10) }}",
    "{{ 'a'|center(10**10) }}",
    "{{ '%10000000000d'|format(1) }}",
    "{{ '{:10000000000}'.format(1) }}",
    "{{ ('a'*100000)|replace('a','a'*100000) }}",
    "{{ [1]|batch(10**9,'x')|list }}",
    "{{ range(100000)|join('x'*100000) }}",
    "{% set n = namespace(t='a'*1000) %}{% for i in range(60) %}{% set n.t = n.t ~ n.t %}"
    "{% endfor %}{{ n.t }}",
    "{{ ('a\\n'*10000)|indent(10**6) }}",
]
LONG = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{{ lipsum(n=10**9) }}",
    "{{ ('a'*5000000)|wordwrap(1) }}",
    "{{ 9**(9**9) }}",
]
DEEP = [
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{% if 1 %}" * 500 + "{% endif %}" * 500,
    "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
]
UNSTEADY = ["{{ rows|random }}", "{{ lipsum() }}"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox()
    made.start()
    yield made
    made.close()


def render(sandbox: Sandbox, source: str) -> str:
    return sandbox.bind(f"{source}||| {{{{ target }}}}", "x.j2").prompt(ROW).text


def test_there_are_as_many_as_are_known() -> None:
    assert len([*REFUSED, *LARGE, *LONG, *DEEP, *UNSTEADY]) == 41


@pytest.mark.parametrize("source", [*REFUSED, *LARGE, *LONG, *DEEP, *UNSTEADY])
def test_hostile_templates_are_refused_or_bounded(sandbox: Sandbox, source: str) -> None:
    assert render(sandbox, "Q: {{ q }}") == "Q: 2+2"  # the child before it was replaced, if need be
    began = time.perf_counter()
    with pytest.raises(TemplateError) as caught:
        render(sandbox, source)
    assert time.perf_counter() - began < 2.5  # a second of the template, the rest a busy machine
    message = str(caught.value)
    assert message.startswith("x.j2")
    assert "\n" not in message
    assert len(message) <= 2100


def test_a_hostile_target_and_front_matter_are_bounded_too(sandbox: Sandbox) -> None:
    with pytest.raises(TemplateError, match="more than 1 s"):
        sandbox.bind("x||| {{ 9**(9**9) }} {{ target }}", "x.j2")
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    with pytest.raises(TemplateError):
        sandbox.bind(f"---\n{bomb}labels: *a11\ntask: classify\n---\nx||| {{{{ label }}}}", "x.j2")


def test_many_small_renderings_share_one_second() -> None:
    small = Sandbox(SandboxLimits(cpu_s=0.3))
    try:
        slow = "{% for i in range(99999) %}{% endfor %}{{ q }}"
        template = small.bind(f"{slow}||| {{{{ target }}}}", "x.j2")
        began = time.perf_counter()
        with pytest.raises(TemplateError, match=r"more than 0\.3 s"):
            for _ in range(1000):
                template.prompt(ROW)
        assert time.perf_counter() - began < 5
    finally:
        small.close()


def test_a_child_that_gets_no_processor_is_waited_for() -> None:
    """On a busy machine a harmless template takes long, but not of the processor."""
    small = Sandbox(SandboxLimits(cpu_s=0.2))
    try:
        template = small.bind("{{ q }}||| {{ target }}", "x.j2")
        assert small.pid is not None
        child = small.pid
        os.kill(child, signal.SIGSTOP)
        goes_on = threading.Timer(0.5, os.kill, (child, signal.SIGCONT))
        goes_on.start()
        assert ROW.fields["q"] in template.prompt(ROW).text
        assert small.pid == child
        goes_on.join()
    finally:
        small.close()


def test_what_is_accepted_is_said(sandbox: Sandbox) -> None:
    with pytest.raises(TemplateError, match="65,536 are accepted"):
        sandbox.bind("x" * 70_000, "x.j2")
    with pytest.raises(TemplateError, match=r"x\.j2:1: renders 2,000,000 bytes, 1,048,576 are"):
        render(sandbox, "{{ 'a' * 2000000 }}")
    with pytest.raises(TemplateError, match=r"x\.j2:1: needs more than 256 MB"):
        render(sandbox, "{{ 'a' * 10**9 }}")
    with pytest.raises(TemplateError, match=r"x\.j2:2: 'nope' is undefined\. .*q, rows, words"):
        render(sandbox, "a\n{{ nope }}")
    with pytest.raises(LeakError, match=r"x\.j2:1: the input reads 'target'"):
        render(sandbox, "{{ target }}")


def test_the_parent_goes_on_meanwhile(sandbox: Sandbox) -> None:
    gaps: list[float] = []
    done = threading.Event()

    def tick() -> None:
        last = time.perf_counter()
        while not done.wait(0.01):
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    with ThreadPoolExecutor(1) as pool:
        ticking = pool.submit(tick)
        with pytest.raises(TemplateError, match="more than 1 s"):
            render(sandbox, LONG[0])
        done.set()
        ticking.result()
    assert len(gaps) > 20
    assert max(gaps) < 0.5


@pytest.mark.parametrize("name", list_templates())
def test_library_templates_render_as_in_process(sandbox: Sandbox, name: str) -> None:
    file = read_template(name)
    fields = {"utt": "wecke mich 🙂", "source": "a\ud800b", "target": "c", "intent": "alarm_set"}
    fields |= {
        "text": "t",
        "document": "One two. Three.",
        "output": "Zwei",
        "reference": "Two",
        "premise": "P.",
        "word": "hot",
        "question": "cause",
        "lemma": "go",
        "features": "V;PST",
        "annot_utt": "wecke [who : mich] 🙂",
    }
    others = {"choice1": "A", "choice2": "B", "label": "1", "entities": {"who": ["東"]}}
    meta = {"locale": "de-DE", "source": "eng_Latn", "target": "deu_Latn"}
    own, bound = load_template(name), sandbox.bind(file.text, name)
    target = next(iter(own.labels), "1")
    gold = ("target", "intent", "label", "entities", "annot_utt")
    row = Example("1", {**fields, **others}, (target,), meta, gold)
    assert bound.hash == own.hash
    assert bound.prompt(row, [Shot(row)]) == own.prompt(row, [Shot(row)])
    assert bound.fallbacks == own.fallbacks
    assert bound.file.answer_fields == own.file.answer_fields
    assert bound.file.words_used == own.file.words_used
    if file.kind.labels == "shared":
        assert bound.choices() == own.choices()
    if file.kind.labels == "row":
        assert bound.choices(row) == own.choices(row)
    assert bound.prompt(row, (), 8) == own.prompt(row, (), 8), "a span shrinks there too"


def test_labels_of_the_data_and_words_of_the_row(sandbox: Sandbox) -> None:
    text = "---\ntask: classify\n---\nX {{ q }}||| {{ label }}"
    bound = sandbox.bind(text, "x.j2", "en", None, ["b", "a"])
    assert [choice.text for choice in bound.choices()] == [" b", " a"]
    native = read_template("intent/native").text
    assert (
        sandbox.bind(native, "n", "de").words
        == load_template("intent/native", language_tag="de").words
    )
    with pytest.raises(TemplateError, match="is no text"):
        sandbox.bind("---\ntask: classify\nlabels: [yes, no]\n---\nX||| {{ label }}", "x.j2")


def test_a_killed_child_is_replaced_and_none_is_left() -> None:
    made = Sandbox()
    assert render(made, "{{ q }}") == "2+2"
    assert made.pid is not None
    first = made.pid
    os.kill(first, signal.SIGKILL)
    with pytest.raises(TemplateError, match="ended with code -9"):
        render(made, "{{ q }}")
    assert render(made, "{{ q }}") == "2+2"
    assert made.pid != first
    last = made.pid
    made.close()
    with pytest.raises(ProcessLookupError):
        os.kill(last, 0)


def test_a_child_ends_with_its_parent() -> None:
    code = (
        "from icl.prompts.child_process import Sandbox; s = Sandbox(); s.bind('a||| b', 'x.j2'); "
        "print(s.pid, flush=True); import os; os._exit(0)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for _ in range(100):
        try:
            os.kill(int(told.stdout), 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the child lives on")


def test_the_child_is_small_and_has_no_secrets(sandbox: Sandbox) -> None:
    assert render(sandbox, "{{ q }}") == "2+2"
    assert sandbox.pid is not None
    proc = Path("/proc") / str(sandbox.pid)
    if not proc.is_dir():
        pytest.skip("there is no /proc here")
    assert int((proc / "status").read_text().split("VmPeak:")[1].split()[0]) < 256 << 10
    environment = (proc / "environ").read_text()
    assert {line.split("=")[0] for line in environment.split("\0") if line} <= {
        "PATH",
        "LD_LIBRARY_PATH",
    }


def test_threads_may_share_it(sandbox: Sandbox) -> None:
    def ask(number: int) -> str:
        return render(sandbox, f"{number} {{{{ q }}}}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(80))) == [f"{n} 2+2" for n in range(80)]


def test_real_rows_go_through(sandbox: Sandbox) -> None:
    from icl.experiment.samples import find_samples

    rows = load(DataSpec("massive", find_samples() / "intent", locale="sw-KE", split="test"))[:5]
    own, text = load_template("intent/plain"), read_template("intent/plain").text
    for row in rows:
        answered = own.answered(row)
        bound = sandbox.bind(text, "intent/plain")
        assert bound.prompt(answered) == own.prompt(answered)


def run_limited(limit: int, code: str) -> list[str]:
    """Lines that code prints in a process whose processor time is bounded, as by ``ulimit -t``."""
    made = f"""
import resource
resource.setrlimit(resource.RLIMIT_CPU, ({limit}, {limit}))
from icl.core.errors import TemplateError
from icl.core.types import Example
from icl.prompts.child_process import Sandbox, SandboxLimits

def told(sandbox, template, **fields):
    try:
        made = sandbox.bind(template + "||| {{{{ target }}}}", "mine.j2")
        return made.prompt(Example("1", fields, ("b",)), []).text
    except TemplateError as error:
        return str(error)
    finally:
        sandbox.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", made + code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_limits_that_the_child_was_started_with_are_lowered_only() -> None:
    code = """
print(told(Sandbox(), "Q: {{ q }}", q="1"))
resource.setrlimit(resource.RLIMIT_AS, (200 << 20, resource.RLIM_INFINITY))
print(told(Sandbox(), "{{ q * 10**9 }}", q="1"))
"""
    right, large = run_limited(600, code)
    assert right == "Q: 1"
    assert "needs more than 200 MB; make its loops or texts smaller" in large


def test_a_limit_that_ended_the_child_is_told_as_the_cause() -> None:
    code = """
print(told(Sandbox(), "Q: {{ q }}", q="1"))  # more would be too much, so each has a fresh child
loop = "{% for a in range(99999) %}"
loops = loop + loop + "{% endfor %}{% endfor %}"
print(told(Sandbox(SandboxLimits(cpu_s=60)), loops))
"""
    right, ended = run_limited(2, code)
    assert right == "Q: 1"
    assert "mine.j2: the process that renders templates ended with code -" in ended
    assert "a process may use 2 s of a processor here; raise that limit (ulimit -t" in ended
