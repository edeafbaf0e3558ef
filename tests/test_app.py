"""The entry point: settings, refusals, and what it does on hosts that lend a GPU."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import Any
from urllib.request import proxy_bypass

import gradio as gr
import httpx
import pytest

import app
from iwp.errors import DeadlineError, IWPError
from iwp.settings import Settings, ask_no_proxy_for_loopback
from iwp.ui.forked import ForkedEngine


def test_importing_starts_nothing() -> None:
    assert callable(app.main)


def test_the_command_line_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IWP_MODEL", "from/environment")
    monkeypatch.setenv("IWP_DEVICE", "cpu")
    assert app._settings([]).model == "from/environment"
    chosen = app._settings(["--model", "from/command-line"])
    assert (chosen.model, chosen.device) == ("from/command-line", "cpu")


@pytest.mark.parametrize("model", ["/no/such/folder", "no-such/model-anywhere"])
def test_a_wrong_model_is_one_sentence(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--model", model, "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert model in said
    assert "Traceback" not in said


def test_a_wrong_setting_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IWP_MAX_NEW_TOKENS", "many")
    assert app.main([]) == 2
    assert "IWP_MAX_NEW_TOKENS" in capsys.readouterr().err


def test_a_wrong_option_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        app.main(["--nosuch"])
    assert capsys.readouterr().err == "Unrecognized arguments: --nosuch (see app.py --help)\n"


class Fake:
    """Engine and page in one: notes what the app does with them."""

    vlm = None
    device_name = "cpu"
    source = "demo"

    def __init__(self, error: Exception | None = None) -> None:
        self.done: list[Any] = []
        self.error = error

    def warm_up(self) -> None:
        self.done.append("warm_up")
        if self.error:
            raise self.error

    def launch(self, **options: Any) -> None:
        self.done.append(options)


def start(monkeypatch: pytest.MonkeyPatch, fake: Fake, code: int = 0) -> Any:
    """Run the app on fakes; returns the engine that the page was built with, if one was."""
    built: list[Any] = []

    def build(engine: Any, settings: Settings) -> Fake:
        built.append(engine)
        return fake

    monkeypatch.setattr(app, "Engine", SimpleNamespace(load=lambda _: fake))
    monkeypatch.setattr(app, "build_demo", build)
    assert app.main([]) == code
    return built[0] if built else None


def test_it_warms_up_and_leaves_the_address_to_gradio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "spaces", None)
    fake = Fake()
    assert start(monkeypatch, fake) is fake
    warmed, options = fake.done
    assert warmed == "warm_up"
    assert not {"server_name", "server_port", "share"} & set(options)


def test_a_warm_up_that_takes_too_long_is_only_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "spaces", None)
    fake = Fake(DeadlineError("No answer within the limit of 0.001 s."))
    assert start(monkeypatch, fake) is fake
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "0.001 s" in said


def test_a_warm_up_that_fails_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "spaces", None)
    assert start(monkeypatch, Fake(IWPError("Out of memory.")), code=2) is None
    assert capsys.readouterr().err == "app.py: Out of memory.\n"


def test_an_address_that_cannot_be_served_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "spaces", None)
    with socket.socket() as taken, gr.Blocks() as page:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        options = {"server_port": taken.getsockname()[1], "quiet": True}
        monkeypatch.setattr(app, "launch_options", lambda: options)
        fake = Fake()
        fake.launch = page.launch  # type: ignore[method-assign]
        start(monkeypatch, fake, code=2)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "GRADIO_SERVER_PORT" in said


@pytest.mark.parametrize("port", ["abc", "70000", "0", ""])
def test_what_is_no_port_is_one_sentence(port: str) -> None:
    environment = {**os.environ, "GRADIO_SERVER_PORT": port}
    command = [sys.executable, app.__file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "GRADIO_SERVER_PORT must be" in done.stderr


@pytest.mark.parametrize("spelling", ["no_proxy", "NO_PROXY"])
def test_a_proxy_is_not_asked_for_the_page_itself(
    monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "intranet.example" if name == spelling else "")
    served = {"quiet": True, "prevent_thread_lock": True}
    monkeypatch.setattr(app, "launch_options", lambda: served)
    with gr.Blocks() as page:
        gr.HTML("Hello")
    app._serve(page)
    try:
        assert httpx.get(page.local_url, timeout=60).is_success
    finally:
        page.close()
    assert proxy_bypass("intranet.example")


def test_who_spares_every_host_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "*")
    ask_no_proxy_for_loopback()
    assert proxy_bypass("somewhere.example")


def test_a_lent_gpu_is_asked_for_per_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    loans: list[int] = []

    def lend(duration: int) -> Any:
        loans.append(duration)
        return lambda work: work

    config = SimpleNamespace(Config=SimpleNamespace(zero_gpu=True))
    monkeypatch.setattr(app, "spaces", SimpleNamespace(config=config, GPU=lend))
    fake = Fake()
    assert isinstance(start(monkeypatch, fake), ForkedEngine)
    assert loans == [app.LONGEST_LOAN_S]
    assert "warm_up" not in fake.done
