"""The page in impatient and mistaken hands, and where what it shows changes or goes while somebody acts."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browsing import needs_browser, opened_page
from conftest import dots, make_plain_bundle
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect
from streaming import Stream, simulated_images, streaming

from atomstream_client import FramePublisher
from atomstream_models.bundle import pack
from atomstream_service.demo import Launched, launched

pytestmark = needs_browser
SHAPE = (128, 160)
KEPT = 60


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("hands")
    bundle = make_plain_bundle(folder / "one", (-1.0, -1.1, -1.2))
    with launched(folder / "state", bundle=str(bundle.folder), config=f"trial_frames = 3\nshadow_every = 1\nring_frames = {KEPT}") as running:
        yield running


@pytest.fixture
def two(tmp_path: Path) -> Path:
    other = make_plain_bundle(tmp_path / "two", (-0.5, -0.6), version="2")
    pack(other.folder, tmp_path / "two.zip")
    return tmp_path / "two.zip"


@pytest.fixture
def stream(service: Launched) -> Iterator[Stream]:
    with streaming(service.frames, service.results, shape=SHAPE, patience_s=2.0) as running:
        running.wait_for(1)
        yield running


@pytest.fixture
def page(browser: Browser, service: Launched, stream: Stream) -> Iterator[Page]:
    with opened_page(browser, service) as opened:
        yield opened


@contextlib.contextmanager
def _streaming_from(service: Launched, source: str, image: NDArray[np.float32]) -> Iterator[None]:
    stop = threading.Event()

    def run() -> None:
        with FramePublisher(source, service.frames) as publisher:
            publisher.wait_for_reader()
            while not stop.wait(0.1):
                publisher.publish(image, pixel_size=(0.0104, 0.0104))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _bring(page: Page, bundle: Path) -> None:
    page.click("#tab-ensembles")
    page.set_input_files("#ensembles input[type=file]", bundle)
    expect(page.locator(".staging")).to_contain_text("is registered", timeout=60_000)


def _wait_until_gone(page: Page, stream: Stream) -> None:
    """Until the ring has lost the frame that the page is paused on."""
    stream.wait_for(len(stream.answers) + 2 * KEPT)
    page.wait_for_timeout(300)


def test_what_is_pressed_slowly_or_has_the_focus_stays_where_it_is_while_news_come(page: Page, two: Path, service: Launched) -> None:
    _bring(page, two)
    page.locator(".ensembles li", has_text="plain 2").locator("button", has_text="Compare").click()
    button = page.locator(".compare button", has_text="Take it off")
    expect(page.locator(".compare")).to_contain_text(re.compile(r"over [1-9]\d* of"))
    button.focus()
    page.wait_for_timeout(1000)
    assert page.evaluate("document.activeElement.textContent") == "Take it off"
    button.hover()
    page.mouse.down()
    page.wait_for_timeout(1000)
    page.mouse.up()
    expect(button).to_have_count(0)
    assert service.control().journal()[-1]["action"] == "drop_candidate"


def test_a_double_click_acts_once_and_a_layer_of_a_member_that_has_gone_gives_way_to_the_frame(page: Page, two: Path, service: Launched) -> None:
    page.select_option("#layer", "member:m02")
    _bring(page, two)
    before = len(service.control().journal())
    page.locator(".ensembles li", has_text="plain 2").locator("button", has_text="Make live").dblclick()
    expect(page.locator(".ensemble")).to_contain_text("version 2", timeout=60_000)
    expect(page.locator("#layer")).to_have_value("frame")
    expect(page.locator(".colourbar")).to_contain_text("counts")
    page.wait_for_timeout(500)
    page.locator("button", has_text="Roll back to").first.dblclick()
    expect(page.locator(".ensemble")).to_contain_text("version 1", timeout=60_000)
    page.wait_for_timeout(500)
    assert [line["action"] for line in service.control().journal()[before:]] == ["activate", "rollback"]


def test_a_key_that_is_held_down_acts_once(page: Page, service: Launched) -> None:
    before = len(service.control().journal())
    for _ in range(20):
        page.keyboard.down("q")
        page.wait_for_timeout(50)
    page.keyboard.up("q")
    expect(page.locator('[data-member="m00"]')).to_have_attribute("data-state", "disabled")
    assert len(service.control().journal()) == before + 1
    page.keyboard.press("q")
    expect(page.locator('[data-member="m00"]')).to_have_attribute("data-state", "enabled")
    for _ in range(4):
        page.keyboard.down("Space")
    page.keyboard.up("Space")
    expect(page.locator(".pause")).to_have_text("Live")


def test_a_paused_frame_that_is_no_longer_kept_is_told_once_shows_nothing_of_others_and_steps_on_to_one_that_is(page: Page, stream: Stream) -> None:
    page.click("#tab-atom")
    page.keyboard.press("Space")
    where = page.evaluate("(() => { const { live } = window.atomstream; const a = live.frame.atoms; return live.viewport.toScreen(a[0], a[1]); })()")
    page.locator("#live canvas").click(position={"x": where[0], "y": where[1]})
    expect(page.locator(".patches figure")).to_have_count(6)
    lost = page.locator(".counts span", has_text="frame").inner_text()
    _wait_until_gone(page, stream)
    page.wait_for_timeout(2500)
    assert page.locator("#toasts .toast").count() == 0

    page.select_option("#layer", "mean")
    expect(page.locator(".empty")).to_have_text("Mean probability: the service no longer keeps this frame")
    page.locator("#live canvas").click(position={"x": where[0], "y": where[1]})
    expect(page.locator(".patches")).to_contain_text("can't be shown")
    expect(page.locator("#toasts .toast")).to_have_count(1)
    page.keyboard.press(".")
    expect(page.locator(".counts")).not_to_contain_text(lost)
    expect(page.locator(".empty")).to_be_hidden()


def test_what_was_asked_of_an_atom_does_not_come_after_another_choice(page: Page) -> None:
    page.click("#tab-atom")
    page.evaluate("(() => { const { live } = window.atomstream; live.chosen(live.frame, 0); live.chosen(live.frame, -1); })()")
    page.wait_for_timeout(1000)
    expect(page.locator(".inspector h2").first).to_have_text("No atom chosen")
    expect(page.locator(".patches figure")).to_have_count(0)


def test_of_two_sources_one_can_be_followed_so_that_zoom_and_frame_stay(page: Page, service: Launched) -> None:
    expect(page.locator("#source")).to_be_hidden()
    with _streaming_from(service, "other/scope", np.ones((64, 96), np.float32)):
        page.select_option("#source", "test/scope")
        expect(page.locator(".counts")).to_contain_text("from test/scope")
        page.locator("#live canvas").focus()
        page.keyboard.press("+")
        sources = page.evaluate("""async () => {
          const seen = new Set();
          for (let k = 0; k < 30; k++) { seen.add(window.atomstream.live.frame.report.source); await new Promise((go) => setTimeout(go, 40)); }
          return [...seen];
        }""")
        assert sources == ["test/scope"]
        assert page.evaluate("window.atomstream.live.viewport.fitted") is False
        page.select_option("#source", "other/scope")
        expect(page.locator(".counts")).to_contain_text("from other/scope")


def test_the_age_of_a_frame_is_told_by_the_services_clock(browser: Browser, service: Launched, stream: Stream) -> None:
    opened = browser.new_page()
    opened.add_init_script("const now = Date.now; Date.now = () => now() + 3_600_000;")
    opened.goto(service.url)
    expect(opened.locator(".counts")).to_contain_text(re.compile(r"age \d\.\d s"), timeout=30_000)
    opened.close()


def test_a_file_that_cannot_be_read_is_not_called_a_service_that_does_not_answer(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "gone.zip"
    file.write_bytes(b"PK")
    page.click("#tab-ensembles")
    page.evaluate("document.addEventListener('change', (event) => event.stopImmediatePropagation(), { capture: true, once: true })")
    page.set_input_files("#ensembles input[type=file]", file)
    file.unlink()
    page.locator("#ensembles input[type=file]").dispatch_event("change")
    expect(page.locator(".staging")).to_contain_text("gone.zip can't be read here")


def test_what_can_be_no_token_is_asked_for_again(browser: Browser, tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path / "bundle")
    errors: list[str] = []
    with launched(tmp_path / "state", bundle=str(bundle.folder), config='access = "token"') as service:
        opened = browser.new_page()
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.goto(service.url)
        opened.fill("dialog input", "tökén…")
        opened.click("dialog button.primary")
        expect(opened.locator("dialog")).to_contain_text("this is no token")
        opened.close()

    assert errors == []


def test_long_names_and_narrow_windows_leave_nothing_beside_the_window(browser: Browser, tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path / "bundle", name="an-ensemble-with-a-very-long-name-of-perovskite-oxide-interface", version="12.4.1-selected-by-us")
    source = "instrument-of-the-university-with-a-long-name/detector-number-one-haadf-segment-a"
    image = simulated_images(1, SHAPE)[0].astype(np.float32)
    with launched(tmp_path / "state", bundle=str(bundle.folder)) as service, _streaming_from(service, source, image), opened_page(browser, service) as page:
        page.click("#tab-drift")
        expect(page.locator("#drift select")).to_have_value(source)
        for width in (360, 683, 1024, 1366):
            page.set_viewport_size({"width": width, "height": 700})
            page.wait_for_timeout(300)
            beside = "[document.documentElement, document.querySelector('#drift')].some((one) => one.scrollWidth > one.clientWidth)"
            assert page.evaluate(beside) is False, width
            if width > 1000:
                assert page.locator("#header").bounding_box()["height"] < 100  # type: ignore[index]


def test_frames_that_cannot_be_processed_are_not_told_as_none_and_distances_know_pixels_that_are_not_square(browser: Browser, tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path / "bundle")
    with launched(tmp_path / "state", bundle=str(bundle.folder)) as service, FramePublisher("test/scope", service.frames) as publisher:
        publisher.wait_for_reader()
        page = browser.new_page()
        page.goto(service.url)
        expect(page.locator(".empty")).to_have_text("Waiting for the first frame …")
        publisher.publish(np.ones((1, 700), np.float32))
        expect(page.locator(".empty")).to_contain_text("one frame has come and could not be processed")
        image = dots((128, 160), [(30, 40), (30, 60), (60, 40), (60, 60)])
        page.click("#tab-atom")
        publisher.publish(image, pixel_size=(0.01, 0.03))
        expect(page.locator(".inspector h3").first).to_contain_text("median 0.3 nm of 4 atoms")
        publisher.publish(np.ones((1, 700), np.float32))
        expect(page.locator(".old")).to_contain_text("one frame has come since and could not be processed", timeout=20_000)
        page.close()
