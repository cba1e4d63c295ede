"""An alarm on the page, from how it came to what was done about it."""

from __future__ import annotations

import re
from pathlib import Path

from browsing import needs_browser, opened_page, said_generation
from conftest import make_plain_bundle
from disputing import DISPUTED_BIASES, DRIFT_SETTINGS, Scope
from playwright.sync_api import Browser, expect
from waiting import until

from atomstream_service.demo import launched

pytestmark = needs_browser


def test_an_alarm_comes_with_advice_its_button_takes_the_member_out_and_it_goes_when_acknowledged(browser: Browser, tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path / "bundle", biases=DISPUTED_BIASES)
    with launched(tmp_path / "state", bundle=str(bundle.folder), config=DRIFT_SETTINGS) as service, Scope(service) as scope:
        for _ in range(25):
            scope.send(scope.agreed())
        with opened_page(browser, service) as page:
            page.click("#tab-drift")
            expect(page.locator(".calm")).to_have_text("No alarm.")
            for _ in range(20):
                scope.send(scope.disputed())
            alarm = page.locator('.alarms [data-alarm="m03"]')
            expect(alarm).to_contain_text("since frame")
            expect(page.locator(".advice", has_text=re.compile("^m03 disagrees.*take it out"))).to_be_visible()
            expect(page.locator("#tab-drift .mark")).to_have_text(re.compile(r"\d"))
            expect(page.locator(".drift .key").first).to_contain_text(re.compile(r"m03 \d"))
            assert scope.send(scope.disputed()).report.flags == ("drift",)
            expect(page.locator('.flags [data-flag="drift"]')).to_be_visible()

            alarm.locator("button", has_text="Take m03 out").click()
            generation = said_generation(page)
            answered = until(lambda: scope.send(scope.disputed()).report, lambda report: report.ensemble.generation >= generation)
            for subject in {one.get_attribute("data-alarm") for one in page.locator(".alarms li").all()}:
                raised = page.locator(f'.alarms [data-alarm="{subject}"]')
                raised.first.locator("button", has_text="Acknowledge").click()
                expect(raised).to_have_count(0)
            expect(page.locator("#tab-drift .mark")).to_have_text("")
            lines = service.control().journal()

    assert answered.members_used == ("m00", "m01", "m02")
    assert {(line["action"], line["target"], line["actor"]) for line in lines} >= {
        ("set_members", "m03", "operator's page"),
        ("acknowledge", "m03", "operator's page"),
    }
