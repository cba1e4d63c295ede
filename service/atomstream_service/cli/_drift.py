from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from atomstream_models.errors import InputError
from atomstream_models.recording import Recording, open_recording

from ..drift import DriftEvent, DriftSettings, QuarantineDecision, QuarantineSettings, Rejudged, judge_again, recorded_frames
from ._commands import Commands

_Settings = TypeVar("_Settings", bound=BaseModel)
_Told = tuple[DriftEvent | QuarantineDecision, ...]


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "drift",
        help="judge a recording's frames for drift again",
        description="Judge the frames of a recording for drift again, from what was recorded of their scores, the members' states and whatever the watch "
        "was told. With the settings that held then, alarms and decisions about members come out as they did, and as the recorded journal has them "
        "(exit code 1 if not, or if it can't be told); with others, they show what those would have done.",
        epilog="Settings are those of `[drift]` and `[quarantine]` in the configuration file, such as --set member_ratio=3 --set mode=quarantine.",
    )
    parser.add_argument("file", type=Path, metavar="RECORDING", help="a recording, finished or interrupted")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="judge by another setting; may be given several times")
    parser.add_argument("--json", action="store_true", help="print for programs")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    chosen = _chosen(given.set)
    told: list[dict[str, Any]] = []
    frames: Counter[bool] = Counter()
    with open_recording(given.file) as recording:
        journal = _Journal(recording)
        for one in judge_again(recorded_frames(recording), lambda settings, quarantine: (_with(settings, chosen), _with(quarantine, chosen))):
            frames[one.events is not None] += 1
            told += _lines(one, journal)
    if not frames[True]:
        raise InputError(f"{given.file} holds nothing about drift that could be judged again")
    told += journal.left()
    same = _as_recorded(told)
    if given.json:
        print(json.dumps({"frames": frames.total(), "judged": frames[True], "told": told, "as_recorded": same}))
    else:
        for line in told:
            print(_sentence(line))
        outcome = {True: "as recorded", False: "not as recorded", None: "as recorded as far as it could be judged"}[same]
        print(f"{frames[True]} of {frames.total()} frames judged again, {len(told)} alarms and decisions, {outcome}")
    return 0 if same or chosen else 1


def _chosen(texts: Sequence[str]) -> dict[str, str]:
    """Settings by name, checked."""
    names = {*DriftSettings.model_fields, *QuarantineSettings.model_fields} - {"every"}
    chosen = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in names:
            raise InputError(f"--set {text!r} is not NAME=VALUE with one of the names {', '.join(sorted(names))}")
        chosen[name] = value
    _with(DriftSettings(), chosen)
    _with(QuarantineSettings(), chosen)
    return chosen


def _with(held: _Settings, chosen: Mapping[str, str]) -> _Settings:
    """The settings with those of them that were chosen."""
    own = {name: value for name, value in chosen.items() if name in type(held).model_fields}
    try:
        return type(held).model_validate({**held.model_dump(), **own})
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"--set {first['loc'][0]}={first['input']}: {first['msg']}") from error


class _Journal:
    """The policy's decisions that were carried out while it was recorded."""

    def __init__(self, recording: Recording) -> None:
        began = float(recording.t_recv[0]) if len(recording) else 0.0
        self._lines = [line for line in recording.journal if line["action"] == "quarantine" and line["actor"] == "policy" and line["t"] >= began]

    def generation(self, decision: QuarantineDecision, source: str) -> int | None:
        """From which generation a decision held; None where it was not carried out."""
        for line in self._lines:
            if (line["target"], line["reason"]) == (decision.member, decision.on(source)):
                self._lines.remove(line)
                return int(line["generation"])
        return None

    def left(self) -> Iterator[dict[str, Any]]:
        """Those that no recorded frame led to."""
        for line in self._lines:
            about = {"frame": None, "source": None, "kind": "quarantine", "member": line["target"], "message": line["reason"]}
            yield {**about, "generation": line["generation"], "recorded": True, "now": None}


def _lines(one: Rejudged, journal: _Journal) -> Iterator[dict[str, Any]]:
    """What was told with a frame, then or now."""
    then: _Told = (*one.recorded.events, *one.recorded.decisions)
    now: _Told | None = None if one.events is None else (*one.events, *(one.decisions or ()))
    for told in dict.fromkeys((*(now or ()), *then)):
        about = {"frame": one.frame, "source": one.source, "recorded": told in then, "now": None if now is None else told in now}
        if isinstance(told, DriftEvent):
            yield {**told.as_json(), **about}
        else:
            generation = journal.generation(told, one.source) if told in then else None
            yield {"kind": "quarantine", "member": told.member, "message": told.reason, "generation": generation, **about}


def _as_recorded(told: Iterable[Mapping[str, Any]]) -> bool | None:
    """Whether everything came out as it did; None where some of it could not be judged."""
    outcomes = {line["now"] if line["now"] is None else line["now"] == line["recorded"] for line in told}
    return False if False in outcomes else None if None in outcomes else True


def _sentence(line: Mapping[str, Any]) -> str:
    subject = line["member"] or line["cause"]
    how = {(True, True): "", (True, False): " [only then]", (False, True): " [only now]", (True, None): " [not judged]"}[line["recorded"], line["now"]]
    held = ""
    if line["kind"] == "quarantine" and line["recorded"]:
        held = " (not carried out)" if line["generation"] is None else f" (generation {line['generation']})"
    where = "journal" if line["frame"] is None else f"frame {line['frame']}, {line['source']}"
    return f"{where}: {line['kind']} {subject}: {line['message']}{held}{how}"
