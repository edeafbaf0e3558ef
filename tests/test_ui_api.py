"""`/compare` as another program calls it: through gradio_client and a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from iwp.settings import Settings
from iwp.ui import build_demo, launch_options
from tests.browser.fake import FakeEngine


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    demo = build_demo(FakeEngine(word_s=0.005, crops=1), Settings())  # type: ignore[arg-type]
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield url
    demo.close()


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.new("RGB", (90, 60), "teal").save(path)
    return path


def refusal(client: Client, *given: Any) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the client has its own kinds
        client.predict(*given, api_name="/compare")
    sentence = str(caught.value)
    assert "Traceback" not in sentence
    assert "\n" not in sentence
    return sentence


def test_the_result_is_the_documented_object(client: Client, picture: Path) -> None:
    result = client.predict(handle_file(str(picture)), "What colour?", 0.222, api_name="/compare")
    n = result["n_visual"]
    keep = int(0.222 * n + 0.5)
    assert len(result["kept"]) == keep
    assert sorted(result["ranks"]) == list(range(n))
    assert {number for number in range(n) if result["ranks"][number] < keep} == set(result["kept"])
    assert result["budget"] == 0.222
    for side in ("baseline", "pruned"):
        assert "What colour?" in result[side]["answer"]
        assert result[side]["timing"]["total_s"] > 0
    assert {"model", "device", "attention", "method"} <= set(result)


def test_the_budget_may_be_left_out(client: Client, picture: Path) -> None:
    result = client.predict(handle_file(str(picture)), "What?", api_name="/compare")
    assert result["budget"] == 0.222


def test_it_is_the_only_endpoint_and_documented(client: Client) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert list(endpoints) == ["/compare"]
    names = [p["parameter_name"] for p in endpoints["/compare"]["parameters"]]
    assert names == ["image", "question", "budget", "method", "against", "convention"]


def test_two_methods_meet(client: Client, picture: Path) -> None:
    file = handle_file(str(picture))
    met = client.predict(file, "What?", 0.5, "divprune", "fastv", "average", api_name="/compare")
    assert "DivPrune(" in met["method"]
    assert "FastV(" in met["rival"]["method"]
    assert len(met["kept"]) < len(met["rival"]["kept"]) or met["kept"] != met["rival"]["kept"]
    for side in (met, met["rival"]):
        assert side["layer_average"] == pytest.approx(0.5, abs=1e-3)
    alone = client.predict(file, "What?", 0.5, api_name="/compare")
    assert "IWP(" in alone["method"]
    assert alone["rival"] is None


def test_unknown_methods_and_conventions_are_refused(client: Client, picture: Path) -> None:
    file = handle_file(str(picture))
    assert "no method 'no-such'" in refusal(client, file, "What?", 0.5, "no-such")
    assert "no method 'every'" in refusal(client, file, "What?", 0.5, "every")
    assert "no method 'no-such'" in refusal(client, file, "What?", 0.5, "iwp", "no-such")
    assert "not as 'layers'" in refusal(client, file, "What?", 0.5, "iwp", "fastv", "layers")
    assert "layer average down" in refusal(client, file, "What?", 0.1, "fastv", None, "average")


def test_refusals_are_sentences(client: Client, picture: Path, tmp_path: Path) -> None:
    file = handle_file(str(picture))
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    assert "Keep between" in refusal(client, file, "What?", 0)
    assert "Keep between" in refusal(client, file, "What?", 1.01)
    assert "too long" in refusal(client, file, "x" * 100_000, 0.5)
    assert "question" in refusal(client, file, "", 0.5)
    assert "not a JPEG" in refusal(client, handle_file(str(broken)), "What?", 0.5)
    assert "picture" in refusal(client, None, "What?", 0.5)
    assert client.predict(file, "Still there?", 0.5, api_name="/compare")["n_visual"] > 0


def test_server_files_are_not_read(client: Client, picture: Path) -> None:
    assert "uploaded file" in refusal(client, str(picture), "What?", 0.5)
    assert "uploaded file" in refusal(client, {"path": "/etc/passwd"}, "What?", 0.5)


@pytest.mark.parametrize("path", ["/etc/passwd", "http://127.0.0.1:1/x.png"])
def test_nothing_is_fetched_for_a_raw_request(address: str, path: str) -> None:
    image = {"path": path, "meta": {"_type": "gradio.FileData"}}
    call = httpx.post(
        f"{address}gradio_api/call/compare", json={"data": [image, "What?", 0.5]}, timeout=30
    )
    events = httpx.get(f"{address}gradio_api/call/compare/{call.json()['event_id']}", timeout=30)
    assert "event: error" in events.text
    assert "event: complete" not in events.text
