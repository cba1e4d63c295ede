"""A refinement on the page, from frames that were just seen to an ensemble that answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browsing import needs_browser, opened_page, said_generation
from playwright.sync_api import Browser, expect
from streaming import streaming
from waiting import until

from atomstream_service.demo import launched

pytestmark = needs_browser
_SETTINGS = """
shadow_every = 1
trial_frames = 2
refinement_priority = "normal"
"""


@pytest.mark.timeout(400)
def test_frames_are_marked_a_region_is_left_out_and_what_was_learned_is_compared_and_made_live(browser: Browser, tmp_path: Path) -> None:
    with launched(tmp_path / "state", config=_SETTINGS) as service, streaming(service.frames, service.results) as stream, opened_page(browser, service) as page:
        stream.wait_for(4)
        page.click("#tab-refine")
        frames = page.locator(".filmstrip button")
        expect(frames.nth(2)).to_be_visible()
        for k in range(3):
            frames.nth(k).click()
        expect(page.locator(".refine")).to_contain_text("3 frames are marked")
        page.click("text=Paint regions to leave out")
        corner, opposite = (page.evaluate(f"window.atomstream.live.viewport.toScreen({y}, {x})") for y, x in ((10, 20), (60, 80)))
        stage = page.locator("#live canvas").bounding_box()
        assert stage is not None
        page.mouse.move(stage["x"] + corner[0], stage["y"] + corner[1])
        page.mouse.down()
        page.mouse.move(stage["x"] + opposite[0], stage["y"] + opposite[1], steps=4)
        page.mouse.up()
        expect(page.locator("button", has_text="Forget 1 region")).to_be_enabled()
        page.get_by_label("Gradient steps").fill("6")
        page.get_by_label("Members of the new ensemble").fill("2")
        with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/v1/refinements")) as sent:
            page.locator(".refine button.primary", has_text="Start").click()
        asked = json.loads(sent.value.post_data or "")
        job = page.locator(".jobs li").first
        expect(job.locator("progress")).to_be_visible()
        expect(job).to_contain_text("is registered", timeout=240_000)
        expect(job).to_have_attribute("data-state", "done")

        page.click("#tab-ensembles")
        expect(page.locator(".compare")).to_contain_text("same atoms", timeout=60_000)
        page.locator(".compare button", has_text="Make it live").click()
        generation = until(lambda: said_generation(page), lambda found: found > 1)
        answered = until(lambda: stream.answers[-1].report, lambda report: report.ensemble.generation >= generation)

    assert len(asked["ring"]["frames"]) == 3
    assert asked["leave_out"] == [pytest.approx([10, 61, 20, 81], abs=1.5)]
    assert answered.ensemble.name != "graphene" or answered.ensemble.version != "3"
    assert len(answered.members_used) == 2
