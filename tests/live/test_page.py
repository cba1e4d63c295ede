"""The page in a real browser, against a running service."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import needs_browser, opened_page, said_generation
from conftest import make_plain_bundle
from playwright.sync_api import Browser, Page, expect
from streaming import Stream, streaming

from atomstream_models.bundle import Bundle, pack
from atomstream_service.access import Role, TokenFile
from atomstream_service.demo import Launched, launched

pytestmark = needs_browser
SHAPE = (128, 160)
BIASES = (-1.0, -1.1, -1.2)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("page")
    bundle = make_plain_bundle(folder / "one", BIASES)
    with launched(folder / "state", bundle=str(bundle.folder), config="trial_frames = 3\nshadow_every = 1") as running:
        yield running


@pytest.fixture
def stream(service: Launched) -> Iterator[Stream]:
    with streaming(service.frames, service.results, shape=SHAPE, patience_s=2.0) as running:
        running.wait_for(1)
        yield running


_KEEP_NOTICES = """() => {
  const notices = document.getElementById("notices");
  window.noticed = [];
  new MutationObserver(() => window.noticed.push(notices.textContent)).observe(notices, { childList: true, characterData: true, subtree: true });
}"""
"""Of what stood there for a moment only, too."""
_DROP = """(bytes) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([Uint8Array.from(bytes)], "bad.zip"));
  document.querySelector("#live canvas").dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
}"""


@pytest.fixture
def page(browser: Browser, service: Launched, stream: Stream) -> Iterator[Page]:
    with opened_page(browser, service) as opened:
        yield opened


def _members_used(stream: Stream, generation: int) -> set[str]:
    """Of the first frame that was answered with a generation."""
    while (last := stream.answers[-1].report).ensemble.generation < generation:
        stream.wait_for(len(stream.answers) + 1)
    return set(last.members_used)


def test_frames_appear_with_their_atoms_and_a_scale_in_nm(page: Page, stream: Stream) -> None:
    found = re.search(r"(\d+) atoms", page.locator(".counts").inner_text())

    assert found is not None
    assert int(found[1]) in {len(answer.atoms) for answer in stream.answers}
    expect(page.locator(".scalebar")).to_have_text(re.compile(r"^[125]0* (nm|pm)$|^0\.[125] nm$"))
    expect(page.locator(".colourbar")).to_contain_text("counts")
    page.select_option("#layer", "std")
    expect(page.locator(".colourbar")).to_contain_text("std of probability")
    canvas = page.locator("#live canvas")
    lit = canvas.evaluate("one => one.getContext('2d').getImageData(0, 0, one.width, one.height).data.filter((_, k) => k % 4 === 0).filter(Boolean).length")
    assert lit > 100


def test_a_member_is_taken_out_by_click_put_back_by_undo_and_taken_out_by_key(page: Page, stream: Stream) -> None:
    card = page.locator('[data-member="m01"]')
    card.locator("button.picture").click()
    expect(card).to_have_attribute("data-state", "disabled")
    taken_out = said_generation(page)
    assert _members_used(stream, taken_out) == {"m00", "m02"}
    page.locator("#toasts button", has_text="Undo").click()
    expect(card).to_have_attribute("data-state", "enabled")
    assert _members_used(stream, taken_out + 1) == {"m00", "m01", "m02"}
    page.keyboard.press("q")
    expect(page.locator('[data-member="m00"]')).to_have_attribute("data-state", "disabled")
    assert _members_used(stream, said_generation(page)) == {"m01", "m02"}
    page.keyboard.press("q")
    expect(page.locator('[data-member="m00"]')).to_have_attribute("data-state", "enabled")


def test_only_the_marked_members_are_used_with_a_reason_in_the_journal(page: Page, stream: Stream, service: Launched) -> None:
    for member in ("m00", "m02"):
        page.locator(f'[data-member="{member}"] input').check()
    page.fill("#reason", "the clear ones")
    page.locator("button", has_text="Use only the 2 marked").click()
    expect(page.locator('[data-member="m01"]')).to_have_attribute("data-state", "disabled")
    assert _members_used(stream, said_generation(page)) == {"m00", "m02"}
    assert service.control().journal()[-1]["reason"] == "the clear ones"
    page.locator("button", has_text="Use all").click()
    expect(page.locator('[data-member="m01"]')).to_have_attribute("data-state", "enabled")


def test_what_the_service_refuses_is_said_in_its_words(page: Page, service: Launched) -> None:
    control = service.control("somebody")
    control.choose_members(["m00"])
    expect(page.locator('[data-member="m01"]')).to_have_attribute("data-state", "disabled")
    page.locator('[data-member="m00"] button.picture').click()
    expect(page.locator(".toast.bad")).to_contain_text("Not changed")
    control.choose_members(["m00", "m01", "m02"])


def test_two_pages_stay_in_step_and_hear_of_an_engine_that_dies(page: Page, browser: Browser, service: Launched) -> None:
    other = browser.new_page()
    other.goto(service.url)
    page.locator('[data-member="m02"] button.picture').click()
    expect(other.locator('[data-member="m02"]')).to_have_attribute("data-state", "disabled")
    other.locator('[data-member="m02"] button.picture').click()
    expect(page.locator('[data-member="m02"]')).to_have_attribute("data-state", "enabled")

    for one in (page, other):
        one.evaluate(_KEEP_NOTICES)
    os.kill(service.control().status()["engine"]["pid"], signal.SIGKILL)
    for one in (page, other):
        expect(one.locator("#toasts .toast", has_text="The engine had ended and was started again")).to_be_visible(timeout=60_000)
        expect(one.locator("#notices")).to_be_hidden()
        assert any("The engine" in said for said in one.evaluate("window.noticed"))
    other.close()


def test_a_paused_page_steps_through_the_ring_with_maps_of_the_members_that_count_and_goes_on_live(page: Page, stream: Stream) -> None:
    stream.wait_for(len(stream.answers) + 4)
    page.keyboard.press("Space")
    expect(page.locator(".counts")).to_contain_text("kept")
    number = re.compile(r"frame (\d+)")

    def seq() -> int:
        found = number.search(page.locator(".counts").inner_text())
        assert found is not None
        return int(found[1])

    before = seq()
    page.keyboard.press(",")
    expect(page.locator(".counts")).to_contain_text(f"frame {before - 1}")
    page.keyboard.press(".")
    expect(page.locator(".counts")).to_contain_text(re.compile(f"frame {before}(?!\\d)"))
    card = page.locator('[data-member="m01"]')
    expect(card).to_have_attribute("data-seen", re.compile(f"/{before}$"))
    page.keyboard.press("w")
    expect(page.locator(".counts")).to_contain_text("answered again")
    expect(page.locator(".counts")).to_contain_text("2 of 3 members")
    page.keyboard.press("w")
    expect(page.locator(".counts")).to_contain_text("3 of 3 members")
    page.keyboard.press("Space")
    expect(page.locator(".counts")).to_contain_text("age")


def test_an_atom_that_is_clicked_is_told_of_with_what_each_member_saw(page: Page) -> None:
    page.keyboard.press("Space")
    where = page.evaluate("(() => { const { live } = window.atomstream; const a = live.frame.atoms; return live.viewport.toScreen(a[0], a[1]); })()")
    page.locator("#live canvas").click(position={"x": where[0], "y": where[1]})
    expect(page.locator(".inspector dl")).to_contain_text("of 3 members")
    expect(page.locator(".inspector dl")).to_contain_text(re.compile(r"nm down.*pm"))
    expect(page.locator(".patches figcaption", has_text="Member m01")).to_have_text(re.compile("sees it|does not see it"))


def test_a_bundle_is_dropped_compared_made_live_and_rolled_back(page: Page, stream: Stream, tmp_path: Path) -> None:
    other: Bundle = make_plain_bundle(tmp_path / "other", (-0.5, -0.6), version="2")
    pack(other.folder, tmp_path / "other.zip")
    page.click("#tab-ensembles")
    page.set_input_files("#ensembles input[type=file]", tmp_path / "other.zip")
    expect(page.locator(".staging")).to_contain_text("is registered", timeout=60_000)
    row = page.locator(".ensembles li", has_text="2")
    row.locator("button", has_text="Compare").click()
    expect(page.locator(".compare")).to_contain_text("same atoms", timeout=60_000)
    page.locator(".compare button", has_text="Make it live").click()
    expect(page.locator(".ensembles li[data-use=live]")).to_contain_text("2", timeout=60_000)
    live = said_generation(page)
    assert _members_used(stream, live) == {"m00", "m01"}
    page.locator("button", has_text="Roll back to").first.click()
    expect(page.locator(".ensemble")).to_contain_text("1")
    assert _members_used(stream, live + 1) == {"m00", "m01", "m02"}
    expect(page.locator(".timeline")).to_contain_text("rollback")


def test_a_damaged_bundle_is_refused_by_the_check_that_it_fails_wherever_it_is_dropped(page: Page) -> None:
    page.evaluate(_DROP, list(b"PK\x05\x06" + bytes(18)))
    expect(page.locator("#tab-ensembles")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".staging")).to_contain_text("bad.zip is refused", timeout=60_000)
    expect(page.locator(".staging .failed")).to_have_count(1)


def test_a_page_without_a_token_asks_for_one_and_a_viewer_sees_all_but_nothing_that_acts_until_the_token_is_revoked(browser: Browser, tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path / "bundle", BIASES)
    tokens = TokenFile(tmp_path / "state")
    token = tokens.add("visitor", Role.VIEWER)
    with launched(tmp_path / "state", bundle=str(bundle.folder), config='access = "token"') as service, streaming(service.frames, service.results, shape=SHAPE):
        opened = browser.new_page()
        opened.goto(service.url)
        expect(opened.locator("dialog")).to_contain_text("token")
        opened.fill("dialog input", "wrong")
        opened.click("dialog button.primary")
        expect(opened.locator("dialog")).to_contain_text("not known")
        opened.fill("dialog input", token)
        opened.click("dialog button.primary")
        expect(opened.locator(".counts")).to_contain_text("atoms", timeout=30_000)
        expect(opened.locator(".who")).to_have_text("visitor: viewer, may look")
        expect(opened.locator('[data-member="m01"]')).to_contain_text("sees")
        for tab in ("drift", "ensembles", "refine", "atom", "members"):
            opened.click(f"#tab-{tab}")
            assert opened.locator("[data-acts]:visible").count() == 0
        opened.keyboard.press("q")
        expect(opened.locator('[data-member="m00"] button.picture')).to_be_disabled()
        assert service.control(token=token).members()["members"][0]["state"] == "enabled"

        tokens.revoke("visitor")
        expect(opened.locator("dialog")).to_contain_text("revoked", timeout=30_000)
        opened.close()


def test_nothing_of_the_page_or_of_the_apis_description_comes_from_elsewhere(browser: Browser, service: Launched) -> None:
    opened = browser.new_page()
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(service.url)
    expect(opened.locator(".ensemble")).to_contain_text("plain")
    opened.goto(f"{service.url}/docs")
    expect(opened.locator(".opblock").first).to_be_visible(timeout=30_000)
    opened.close()

    assert [url for url in asked if not url.startswith((service.url, service.url.replace("http", "ws"), "data:"))] == []
