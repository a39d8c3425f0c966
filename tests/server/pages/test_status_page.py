"""The numbers of the status page, and the page itself in headless Chromium, where there is one."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

import sonic
from sonic.protocol.messages import InferRequest
from sonic.server.access.guard import Guard
from sonic.server.access.tokens import Tokens
from sonic.server.machine.hardware import Machine
from sonic.server.pages.status_page import PAGE, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE_S = 60
pytestmark = pytest.mark.timeout(300)  # a browser is slow to start on a busy machine
NAME = '<b>b&"tagger'


def request(model: str, rows: int = 1) -> InferRequest:
    return InferRequest(model, {"x": np.zeros((rows, 2), np.float32)})


# ---- the numbers ----------------------------------------------------------------------------------------------------


def test_the_snapshot_holds_the_counters(folder: Any, serve: Any, script: Any) -> None:
    folder.scripted()
    folder.onnx("broken", b"broken")
    server = serve(folder, strict=False, name="west")
    for rows in (2, 3):
        server.dataplane.infer(request("scripted", rows)).result()
    script.run = lambda x: 1 / 0
    server.dataplane.infer(request("scripted")).exception()
    shown = snapshot(server.dataplane, Machine(), 5.0)
    assert shown["server"] == {"name": "west", "version": sonic.__version__, "state": "not ready", "uptime_s": 5.0}
    broken, scripted = shown["models"]
    assert (broken["name"], broken["state"]) == ("broken", "UNAVAILABLE")
    assert "cannot be loaded" in broken["reason"]
    assert "success" not in broken
    (statistics,) = server.dataplane.statistics("scripted")
    counts = ("success", "failure", "rows", "executions", "pending", "instances", "max_batch_size")
    assert [scripted[name] for name in counts] == [2, 1, 5, 2, 0, 1, 64]
    assert scripted["request_us"] == statistics.success.total_ns // 1000
    assert scripted["queue_us"] == statistics.queue.total_ns // 1000
    assert 0 < scripted["compute_us"] <= scripted["request_us"]


def test_the_state_of_the_server(folder: Any, serve: Any) -> None:
    folder.identity("i", "INT8")
    server = serve(folder)
    assert snapshot(server.dataplane, Machine(), 0.0)["server"]["state"] == "ready"
    server.dataplane.drain(0.0)
    assert snapshot(server.dataplane, Machine(), 0.0)["server"]["state"] == "draining"


def test_page_and_numbers_over_http(folder: Any, serve: Any) -> None:
    folder.identity("i", "INT8")
    with httpx.Client(base_url=serve(folder).http_url) as client:
        answer = client.get("/status.json")
        assert answer.headers["cache-control"] == "no-store"
        assert [model["name"] for model in answer.json()["models"]] == ["i"]
        assert answer.json()["server"]["uptime_s"] <= client.get("/status.json").json()["server"]["uptime_s"]
        page = client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert client.post("/").status_code == 405
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_the_page_needs_nothing_from_elsewhere() -> None:
    text = PAGE.read_text()
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]  # a name, which nobody fetches
    assert not re.search(r"@import|url\(|innerHTML|\bsrc=|style=", text)


# ---- the page -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium with a chromedriver is installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
        *("disable-component-update", "disable-sync", "disable-dev-shm-usage", "window-size=1200,800"),
        f"user-data-dir={tmp_path_factory.mktemp('browser')}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield made
    made.quit()


@pytest.fixture
def page(browser: Any) -> Page:
    return Page(browser)


class Page:
    """What a person reads there."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def open(self, url: str) -> None:
        self.browser.get(url)

    def text(self, selector: str) -> str:
        script = "return document.querySelector(arguments[0])?.innerText ?? ''"
        return str(self.browser.execute_script(script, selector))

    def row(self, name: str) -> dict[str, str]:
        rows: dict[str, dict[str, str]] = self.browser.execute_script(
            """return Object.fromEntries([...document.querySelectorAll("#models tr")].map(row => [
                 row.querySelector(".name").textContent,
                 Object.fromEntries([...row.cells].map(cell => [cell.dataset.label ?? "model", cell.innerText]))]))"""
        )
        return rows.get(name, {})

    def value(self, name: str, label: str) -> float:
        return _number(self.row(name).get(label, ""))

    def tile(self, key: str) -> float:
        return _number(self.text(f'[data-key="{key}"] b'))

    def points(self, selector: str) -> int:
        path = self.browser.execute_script("return document.querySelector(arguments[0]).getAttribute('d')", selector)
        return len(re.findall(r"[ML]", path))

    def until(self, holds: Callable[[], Any]) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > end_s:
                raise AssertionError(f"the page never came to show it: {self.text('body')}")
            threading.Event().wait(0.02)


def _number(text: str) -> float:
    match = re.match(r"[\d,.]+", text)
    return float(match[0].replace(",", "")) if match else float("nan")


@pytest.fixture
def traffic() -> Iterator[Callable[[Any, InferRequest], None]]:
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def start(server: Any, of: InferRequest) -> None:
        def send() -> None:
            while not stop.wait(0.005):
                server.dataplane.infer(of).exception(10)

        threads.append(threading.Thread(target=send))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join()


def test_traffic_is_shown(folder: Any, serve: Any, script: Any, traffic: Any, page: Page) -> None:
    folder.scripted(NAME)
    folder.identity("quiet", "INT8")
    folder.onnx("broken", b"broken")
    server = serve(folder, strict=False)
    page.open(f"{server.http_url}/?every=0.1")
    page.until(lambda: page.value(NAME, "requests/s") == 0)
    traffic(server, request(NAME, rows=4))
    page.until(lambda: page.value(NAME, "requests/s") > 1 and page.tile("rate") > 1)
    page.until(lambda: page.value(NAME, "latency") > 0 or page.row(NAME)["latency"].startswith("<0.01"))
    page.until(lambda: page.value(NAME, "batch") == 4)
    page.until(lambda: page.value(NAME, "rows/s") > 3 * page.value(NAME, "requests/s"))
    page.until(lambda: page.points('[data-key="rate"] .line') > 5)
    assert "version 1, 1 instance, batch up to 64" in page.row(NAME)["model"]
    assert (page.value("quiet", "requests/s"), page.row("quiet")["latency"].strip()) == (0, "\N{EN DASH}")
    assert "UNAVAILABLE: model 'broken' version 1 cannot be loaded" in page.row("broken")["model"]
    assert page.text("#state") == "not ready"
    assert "a model could not be loaded" in page.text("#notice")
    script.run = lambda x: 1 / 0
    page.until(lambda: page.value(NAME, "failures/s") > 0 and page.tile("failures") > 0)
    severe = [entry["message"] for entry in page.browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []


def test_waiting_draining_gone_and_back(folder: Any, serve: Any, script: Any, page: Page) -> None:
    folder.scripted(batching="")
    server = serve(folder)
    page.open(f"{server.http_url}/?every=0.1")
    page.until(lambda: page.text("#state") == "ready")
    assert page.browser.title.endswith("sonic")
    script.hold()
    futures = [server.dataplane.infer(request("scripted"), inline=False) for _ in range(4)]
    script.wait_started()
    page.until(lambda: page.value("scripted", "waiting") == 3 and page.tile("pending") == 3)
    closing = threading.Thread(target=server.close, args=(30.0,))
    closing.start()
    page.until(lambda: page.text("#state") == "draining")
    assert "takes no more" in page.text("#notice")
    script.release()
    closing.join(30)
    assert all(future.exception(10) is None for future in futures)
    page.until(lambda: page.text("#state") == "gone")
    assert re.match(r"No answer from the server since .*\. It was shutting down\. Trying again", page.text("#notice"))
    assert page.browser.title.startswith("gone")
    again = serve(folder, http_port=server.http_port)
    page.until(lambda: page.text("#state") == "ready")
    assert page.text("#notice") == ""
    again.dataplane.infer(request("scripted")).result()
    page.until(lambda: "1 request" in page.row("scripted")["model"])


def test_models_that_come_and_go(folder: Any, serve: Any, page: Page) -> None:
    server = serve(folder, empty_ok=True, poll_s=0.01)
    page.open(f"{server.http_url}/?every=0.1")
    page.until(lambda: page.text("#empty:not([hidden])") == "No model is there.")
    folder.identity("new", "INT8")
    page.until(lambda: page.value("new", "requests/s") == 0)
    assert page.text("#empty:not([hidden])") == ""
    shutil.rmtree(folder.path / "new")
    page.until(lambda: "UNAVAILABLE: unloaded" in page.row("new")["model"])


def test_a_token_lets_a_person_in(folder: Any, serve: Any, page: Page, tmp_path: Path) -> None:
    folder.identity("secret", "INT8")
    (tmp_path / "tokens").write_text("open-sesame ana\n")
    url = serve(folder, guard=Guard(Tokens(tmp_path / "tokens"))).http_url

    def enter(token: str) -> None:
        field = page.browser.find_element("id", "token")
        field.send_keys(token)
        field.submit()

    page.open(f"{url}/?every=0.1")
    page.until(lambda: page.text("#state") == "locked")
    assert page.text("#notice") == "The server wants a token before it shows anything."
    assert page.browser.execute_script("return document.activeElement.id") == "token"
    enter("sesame")
    page.until(lambda: page.text("#notice") == "The server refuses this token.")
    enter(" open-sesame ")
    page.until(lambda: page.value("secret", "requests/s") == 0)
    assert (page.text("#state"), page.text("#notice"), page.text("#entry:not([hidden])")) == ("ready", "", "")
    page.open(f"{url}/?every=0.1")  # the tab knows it still
    page.until(lambda: page.text("#state") == "ready")
    page.browser.execute_script("sessionStorage.clear()")


def test_without_a_token_there_is_the_page_and_no_number(folder: Any, serve: Any, tmp_path: Path) -> None:
    folder.identity("secret", "INT8")
    (tmp_path / "tokens").write_text("open-sesame ana\n")
    with httpx.Client(base_url=serve(folder, guard=Guard(Tokens(tmp_path / "tokens"))).http_url) as client:
        page = client.get("/")
        assert page.status_code == 200
        assert "secret" not in page.text
        for path in ("/status.json", "/metrics", "/v2", "/nothing", "/?x=1"):
            status = client.get(path).status_code
            assert status == (200 if path.startswith("/?") else 401), path
        entitled = {"Authorization": "Bearer open-sesame"}
        assert "nv_inference_count" in client.get("/metrics", headers=entitled).text
        assert client.get("/status.json", headers=entitled).json()["models"][0]["name"] == "secret"


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(width: int, scheme: str, folder: Any, serve: Any, page: Page, tmp_path: Path) -> None:
    folder.identity("a-model-with-a-long-name-that-has-to-go-somewhere-on-a-phone", "INT8")
    folder.onnx("broken", b"broken")
    page.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    try:
        page.open(f"{serve(folder, strict=False).http_url}/?every=0.1")
        page.until(lambda: page.text("#models"))
        assert page.browser.execute_script("return document.documentElement.scrollWidth") <= width
        back, text = page.browser.execute_script(
            "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
        )
        assert abs(_brightness(back) - _brightness(text)) > 180
        assert (_brightness(back) < 128) == (scheme == "dark")
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def _brightness(color: str) -> float:
    return sum(map(float, re.findall(r"[\d.]+", color)[:3])) / 3
