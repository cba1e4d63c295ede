"""Every view in both themes on a small and on a large screen: nothing is cut off, nothing overlaps, everybody can read it.

`make screenshots` keeps the pictures that this makes in docs/page.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import Theme, keep_picture, needs_browser, opened_page
from playwright.sync_api import Browser, Page, expect
from streaming import streaming
from waiting import until

from atomstream_models.bundle import open_bundle, shipped_bundles
from atomstream_service.demo import launched, poisoned

pytestmark = needs_browser

_MISPLACED = (Path(__file__).parent / "misplaced.js").read_text(encoding="utf-8")
_AN_ATOM = """() => {
  const { live } = window.atomstream;
  const k = 10 * Math.floor(live.frame.atoms.length / 20);
  return live.viewport.toScreen(live.frame.atoms[k], live.frame.atoms[k + 1]);
}"""


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A member that is wrong, and has been noticed."""
    folder = tmp_path_factory.mktemp("layout")
    bundle, culprit = poisoned(open_bundle(shipped_bundles()["graphene"]), folder / "bundle")
    with (
        launched(folder / "state", bundle=str(bundle.folder)) as service,
        streaming(service.frames, service.results, shape=(512, 512)) as stream,
        opened_page(browser, service) as opened,
    ):
        stream.wait_for(8)
        opened.click("#tab-drift")
        expect(opened.locator(f'.alarms [data-alarm="{culprit}"]')).to_be_visible(timeout=60_000)
        yield opened


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", [(1366, 768), (2560, 1440)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("view", ["members", "drift", "ensembles", "refine", "atom", "keys"])
def test_nothing_is_cut_off_or_overlaps_and_all_can_be_read(page: Page, theme: Theme, size: tuple[int, int], view: str) -> None:
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    if view == "keys":
        page.keyboard.press("?")
    else:
        page.click(f"#tab-{view}")
    if view == "atom":
        page.click("#live .tools button:has-text('Pause')")
        where = page.evaluate(_AN_ATOM)
        page.locator("#live canvas").click(position={"x": where[0], "y": where[1]})
        expect(page.locator(".patches figure")).to_have_count(11)
        expect(page.locator(".inspector h3").last).to_contain_text("median")
    page.wait_for_timeout(600)  # pictures of the new size have to come
    keep_picture(page, f"{view}-{theme}-{size[0]}")
    try:
        until(lambda: _faults(page), lambda faults: not faults, 15)  # what fades in is hard to read until it is there
    finally:
        if view == "keys":
            page.keyboard.press("Escape")
        if view == "atom":
            page.click("#live .tools button:has-text('Live')")


def _faults(page: Page) -> list[str]:
    """What is cut off or overlaps, and what can't be read."""
    unreadable = [f"{one['id']}: {one['help']}, {[node['target'] for node in one['nodes']]}" for one in Axe().run(page).response["violations"]]
    return [*map(str, page.evaluate(_MISPLACED)), *unreadable]
