"""The page: whole, self-contained, and legible where it is opened."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("mplhep")

from sonic.errors import ConfigError, DataError, OutputError
from sonic.study.plots.album import album
from sonic.study.plots.report import report
from sonic.study.plots.write import save, save_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sonic.study.records import Record


@pytest.fixture(scope="module")
def records(make: Callable[..., Record]) -> list[Record]:
    good = [make(100.0 * min(n, 4), settings={"clients": n}) for n in (1, 2, 3, 4, 6, 8)]
    return [*good, make(1.0, status="failed", reason="<server> died", settings={"clients": 16})]


@pytest.fixture(scope="module")
def page(records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("iminuit")
    folder: Path = tmp_path_factory.mktemp("report")
    (folder / "scan.toml").write_text('target = "<facile>"\n')
    save_report(records, album(records)[0][:1], folder / "r.html", spec=folder / "scan.toml", notes=["a note"])
    return folder / "r.html"


class Outline(HTMLParser):
    """What a page refers to, and how its elements nest."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [str(each) for name, each in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_it_is_one_file_with_all_that_there_is(page: Path) -> None:
    text = page.read_text()
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert len(outline.sources) == 2  # the picture, and that of the fits
    assert all(each.startswith("data:image/svg+xml;base64,") for each in outline.sources)
    assert not re.search(r"https?://|@import|<script|<link", text)
    for said in ("Study of facile", "7 points", "a note", "some &lt;processor&gt;", "sonic 1.0", "protodune fits best"):
        assert said in text
    assert "Left out: facile clients=16 rows=10: failed, &lt;server&gt; died" in text
    assert "target = &quot;&lt;facile&gt;&quot;" in text


def test_what_cannot_be_written_or_read_is_said(records: list[Record], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*r\.html: No such file"):
        save_report(records, [], tmp_path / "no" / "r.html")
    with pytest.raises(DataError, match=r"cannot read .*no\.toml"):
        save_report(records, [], tmp_path / "r.html", spec=tmp_path / "no.toml")
    with pytest.raises(DataError, match="no records"):
        report([], [], title="t")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*file"):
        save([], tmp_path / "file")
    with pytest.raises(ConfigError, match="png, svg, pdf, given 'gif'"):
        save([], tmp_path, "gif")


@pytest.mark.timeout(300)  # a browser is slow to start on a busy machine
def test_a_phone_need_not_scroll_sideways(page: Path) -> None:
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium with a chromedriver is installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        metrics = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get(page.as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
        loaded = "return [...document.images].map(i => i.complete && i.naturalWidth > 0 && i.clientWidth > 300)"
        assert browser.execute_script(loaded) == [True, True]
    finally:
        browser.quit()
