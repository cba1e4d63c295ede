from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import dots

from atomstream_models.analysis import finish, member_map
from atomstream_models.bundle import Bundle
from atomstream_models.evaluation import evaluate, truth_of
from atomstream_models.report import (
    Figure,
    Judged,
    Line,
    MembersRow,
    Region,
    Section,
    Stage,
    StageRow,
    Study,
    Table,
    baseline_of,
    card_section,
    card_tables,
    frames_figure,
    means_section,
    members_figure,
    neighbours_figure,
    regions_figure,
    stages_figure,
    study_sections,
    summary_section,
    uncertain_window,
    write_report,
)
from atomstream_models.runtime import load_ensemble, look
from atomstream_models.simulation import SimulatedMicroscope


class _Page(HTMLParser):
    """Every address that a page would load from, and the texts of its headings."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.headings: list[str] = []
        self._heading = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "srcset", "data") or (name == "href" and tag == "link")]
        self._heading = tag == "h2"

    def handle_data(self, data: str) -> None:
        if self._heading and data.strip():
            self.headings.append(data.strip())
        self._heading = False


def _picture(figure: Figure) -> np.ndarray:
    assert figure.kind == "png"
    picture = cv2.imdecode(np.frombuffer(figure.data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


@pytest.fixture(scope="module")
def study(graphene: Bundle) -> Study:
    """A short movie with a truth, seen by two sets of members of the shipped ensemble, with a baseline."""
    microscope = SimulatedMicroscope(12, (96, 128), mild=1, drift=3)
    scans = [microscope.next_frame() for _ in range(3)]
    pixel_nm = scans[0].pixel_nm
    truths = {k: truth_of(scan) for k, scan in enumerate(scans)}
    ensemble = load_ensemble(graphene)
    judged = []
    for name, members in (("before", ("m06", "m07")), ("after", ("m00", "m01", "m02"))):
        looked = list(look(ensemble, [scan.image for scan in scans], pixel_nm, members))
        found = evaluate(enumerate(looked), graphene.card, truths, pixel_nm=pixel_nm)
        answers = {k: finish(looked[k], graphene.card) for k in (0, 2)}
        judged.append(Judged(name, found, answers, {k: {member: member_map(looked[k], member) for member in members} for k in (0, 2)}))
    baseline = baseline_of({k: truth.atoms_yx[truth.required][::2] for k, truth in truths.items()}, truths)
    return Study(judged[1], {k: scans[k].image for k in (0, 2)}, judged[0], truths, baseline, chosen=("m01",), pixel_nm=pixel_nm)


def test_a_whole_report_is_one_file_that_loads_nothing(study: Study, graphene: Bundle, tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", "Graphene <1>", [*study_sections(study), card_section(graphene.card)], subtitle="a & b")
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    page = _Page(html)

    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]
    assert page.headings[0].endswith("Summary")
    assert len(page.headings) == len(set(page.headings)) == 11
    assert len(page.sources) == html.count("<figcaption>") > 10
    assert all(re.match("data:image/(png|svg\\+xml);base64,", source) for source in page.sources)
    assert not re.search(r"url\(|@import|<script|https?://(?!www\.w3\.org)", re.sub(r'"data:[^"]*"', '""', html))
    assert "<h1>Graphene &lt;1&gt;</h1>" in html
    assert "a &amp; b" in html


def test_the_summary_holds_the_figures_of_both_ensembles_and_of_the_baseline(study: Study) -> None:
    figures, classes = summary_section(study).tables
    rows = {row[0]: list(row[1:]) for row in figures.rows}

    assert list(figures.columns) == ["", "before", "after", "LoG"]
    assert study.before is not None
    assert study.before.evaluation.overall is not None
    assert rows["recall"][0] == f"{study.before.evaluation.overall.recall:.4f}"
    assert float(str(rows["recall"][2])) == pytest.approx(0.5, abs=0.01)
    assert rows["precision"][2] == "1.0000"
    assert [row[:2] for row in classes.rows] == [["before", "host"], ["before", "impurity"], ["after", "host"], ["after", "impurity"]]


def test_without_a_truth_a_report_has_counts_and_no_scores(study: Study) -> None:
    frames = tuple(replace(one, compared=None, overall=None, by_class=None, by_member=None) for one in study.ensemble.evaluation.frames)
    alone = replace(study.ensemble, evaluation=replace(study.ensemble.evaluation, frames=frames, calibration=None))
    sections = study_sections(Study(alone, {2: study.images[2]}, left_out={7: "it is blank"}))

    assert [one.title for one in sections] == [
        "Summary",
        "Members",
        "Mean maps",
        "Uncertainty",
        "Frame by frame",
        "How many members the std needs",
        "Agreement between members",
        "Lattice",
    ]
    assert "F1" not in [row[0] for row in sections[0].tables[0].rows]
    assert "Frame 7 is left out: it is blank." in sections[0].text


def test_every_caption_begins_with_a_capital_and_says_what_colours_mean_and_the_finder_is_spelt_out_once(study: Study) -> None:
    sections = study_sections(study)
    captions = [figure.caption for one in sections for figure in one.figures]
    maps = [figure.caption for one in sections if one.title.startswith(("Members", "Mean maps", "Uncertainty")) for figure in one.figures]

    assert all(caption[0].isupper() for caption in captions)
    assert maps
    assert all("as bright as its probability" in caption for caption in maps)
    assert sum(one.text.count("Laplacian of Gaussian (LoG)") for one in sections) == 1


def test_maps_of_one_class_have_its_colour_beside_maps_of_two(study: Study) -> None:
    assert study.before is not None
    evaluation, answers = study.before.evaluation, study.before.answers
    single = {frame: replace(answer, mean=answer.mean[1:]) for frame, answer in answers.items()}
    alone = replace(study.before, evaluation=replace(evaluation, classes=evaluation.classes[1:]), answers=single)
    section = means_section(replace(study, before=alone))
    assert section is not None
    picture = _picture(section.figures[0])[..., ::-1].astype(float)
    cividis = np.array([0.0, 34.0, 78.0])

    assert "Each class has a colour" in section.figures[0].caption
    assert (np.abs(picture - cividis).max(axis=-1) < 4).mean() < 0.001


def test_a_single_blank_frame_with_one_member_still_makes_a_report(graphene: Bundle, tmp_path: Path) -> None:
    frame = np.zeros((64, 64), np.uint16)
    (looked,) = look(load_ensemble(graphene), [frame], None, ["m00"])
    found = evaluate([(0, looked)], graphene.card)
    sections = study_sections(Study(Judged("ensemble", found, {0: finish(looked, graphene.card)}, {0: {}}), {0: frame}))
    write_report(tmp_path / "r.html", "blank", sections)

    assert [one.title for one in sections] == ["Summary", "Mean maps"]
    assert "every frame is blank" in sections[0].text
    assert (tmp_path / "r.html").stat().st_size > 1000


def test_the_same_drawing_is_the_same_bytes() -> None:
    line = Line("after", "#0072b2", {0: 0.9, 1: 0.95})

    assert frames_figure([line], "F1", top=1.0).data == frames_figure([line], "F1", top=1.0).data


def test_members_are_shown_with_their_maps_in_their_classes_colours() -> None:
    maps = np.zeros((2, 64, 64), np.float32)
    maps[0, :, :32], maps[1, :, 32:] = 1, 1
    picture = _picture(members_figure([MembersRow("frame", np.eye(64), {"m00": maps})], ("C", "Si"), pixel_nm=0.01))

    for colour in ((86, 180, 233), (230, 159, 0)):
        assert (np.abs(picture[..., ::-1].astype(int) - colour).max(axis=-1) < 3).mean() > 0.1


def test_a_frame_too_large_for_its_panel_is_shown_whole_and_to_scale() -> None:
    small = np.kron(np.eye(8), np.ones((60, 60)))
    large = np.kron(small, np.ones((3, 3)))
    shown = [
        _picture(members_figure([MembersRow("frame", image, {"m00": image[None]})], ("C",), pixel_nm=pixel_nm))
        for image, pixel_nm in ((small, 0.03), (large, 0.01))
    ]

    assert np.abs(shown[0].astype(float) - shown[1]).mean() < 1


def test_many_members_are_shared_out_over_bands_that_all_begin_with_the_frames() -> None:
    blank = np.zeros((1, 32, 32))
    rows = [MembersRow(f"frame {k}", np.eye(32), {f"m{n:02d}": blank for n in range(10)}) for k in range(2)]
    wide, high = (_picture(members_figure(rows, across=across)).shape for across in (10, 5))

    assert high[1] / wide[1] == pytest.approx(6 / 11, rel=0.01)
    assert 1.8 * wide[0] < high[0] < 2.2 * wide[0]


def test_missed_and_made_up_atoms_are_marked_on_the_map() -> None:
    image, maps = dots((64, 64), [(20, 20)]), np.zeros((1, 64, 64), np.float32)
    plain = stages_figure([StageRow("frame 0", image, [Stage("mean", maps)])], ("C",))
    marked = stages_figure([StageRow("frame 0", image, [Stage("mean", maps, "", np.array([[20.0, 20.0]]), np.array([[40.0, 50.0]]))])], ("C",))

    extra = np.array([60, 90, 255])  # blue, green, red
    assert (np.abs(_picture(plain).astype(int) - extra).max(axis=-1) < 12).sum() == 0
    assert (np.abs(_picture(marked).astype(int) - extra).max(axis=-1) < 12).sum() > 20


def test_frames_with_missing_values_or_of_one_value_are_drawn() -> None:
    for image in (np.full((40, 50), np.nan), np.ones((40, 50)), np.where(np.eye(40) > 0, np.nan, 1.0)):
        stages_figure([StageRow("frame 0", image, [Stage("mean", np.zeros((1, *image.shape)))])], ("C",))


def test_regions_of_a_certain_ensemble_are_drawn_and_none_at_all_is_no_histogram_of_atoms() -> None:
    zeros = np.zeros((2, 30, 30), np.float32)
    picture = _picture(regions_figure([Region("frame 0", zeros[0], zeros, zeros)], ("C", "Si"), pixel_nm=0.01))

    assert picture.shape[1] > picture.shape[0]
    assert neighbours_figure({"after": (np.empty(0), "#0072b2")}, None).data.startswith(b"<?xml")


@pytest.mark.parametrize("centre", [(4, 4), (50, 70), (95, 3), (31, 127), (95, 127)])
@pytest.mark.parametrize("side", [7, 8, 200])
def test_the_most_uncertain_window_holds_the_uncertain_spot_and_lies_in_the_frame(centre: tuple[int, int], side: int) -> None:
    std = np.zeros((2, 96, 128), np.float32)
    std[1, centre[0], centre[1]] = 0.4
    rows, columns = uncertain_window(std, side)

    assert std[:, rows, columns].sum() == pytest.approx(0.4)
    assert std[0, rows, columns].shape == (min(side, 96), min(side, 128))


def test_unknown_numbers_are_dashes_and_text_can_not_break_out_of_its_cell(tmp_path: Path) -> None:
    table = Table(("a", "b"), [("<b>x</b>", None), ("y", float("nan")), ("z", 0.123456)], "t", folded=True)
    write_report(tmp_path / "r.html", "t", [Section("s", "one\n\ntwo <i>", tables=[table])])
    html = (tmp_path / "r.html").read_text(encoding="utf-8")

    assert "&lt;b&gt;x&lt;/b&gt;" in html
    assert html.count(">–<") == 2
    assert '<td class="number">0.1235</td>' in html
    assert "<p>two &lt;i&gt;</p>" in html


def test_a_card_s_keys_are_all_in_its_tables(graphene: Bundle) -> None:
    card = graphene.card.model_copy(update={"training": {"parent": None, "kept": {"atoms": 12, "frames": [0, 1]}, "steps": [{"a": 1}, {"a": 2}]}})
    rows = {str(row[0]): row[1] for table in card_tables(card) for row in table.rows}

    assert rows["training.kept.atoms"] == 12
    assert rows["training.kept.frames"] == "0, 1"
    assert rows["training.steps[1].a"] == 2
    assert rows["training.parent"] is None
    assert rows["m03"] == "quarter-unet filters=32"


def test_a_report_that_can_not_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "r.html").mkdir()

    with pytest.raises(OSError, match=r"r\.html"):
        write_report(tmp_path / "r.html", "t", [])
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_only_drawing_needs_matplotlib_and_its_absence_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from atomstream_models.report import Line, frames_figure\n"
        "from atomstream_models.errors import ExtraMissing\n"
        "try: frames_figure([Line('a', 'red', {0: 1.0})], 'F1')\n"
        "except ExtraMissing as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert "atomstream[train]" in run.stdout
