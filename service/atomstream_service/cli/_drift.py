from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from atomstream_models.errors import InputError
from atomstream_models.recording import open_recording

from ..drift import DriftEvent, DriftSettings, QuarantineDecision, QuarantineSettings, Rejudged, judge_again, recorded_frames
from ._commands import Commands

_Settings = TypeVar("_Settings", bound=BaseModel)
_Told = tuple[DriftEvent | QuarantineDecision, ...]


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "drift",
        help="judge a recording's frames for drift again",
        description="Judge the frames of a recording for drift again, from what was recorded of their scores, the members' states and whatever the watch "
        "was told. With the settings that held then, alarms and decisions about members come out as they did (exit code 1 if not); "
        "with others, they show what those would have done.",
        epilog="Settings are those of `[drift]` and `[quarantine]` in the configuration file, such as --set member_ratio=3 --set mode=quarantine.",
    )
    parser.add_argument("file", type=Path, metavar="RECORDING", help="a recording, finished or interrupted")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="judge by another setting; may be given several times")
    parser.add_argument("--json", action="store_true", help="print for programs")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    chosen = _chosen(given.set)
    with open_recording(given.file) as recording:
        frames = list(recorded_frames(recording))
        known = next((one.known for _, _, one in frames if one.known is not None), None)
        if known is None:
            raise InputError(f"{given.file} holds nothing about drift to judge by")
        settings, quarantine = _with(known.settings, chosen), _with(known.quarantine, chosen)
        judged = list(judge_again(frames, settings, quarantine))
        carried_out = {(line["target"], line["reason"]): line["generation"] for line in recording.journal if line["action"] == "quarantine"}
    followed = [one for one in judged if one.events is not None]
    same = all(one.same for one in followed)
    told = [line for one in followed for line in _lines(one, carried_out)]
    if given.json:
        print(json.dumps({"frames": len(judged), "judged": len(followed), "told": told, "as_recorded": same}))
    else:
        for line in told:
            print(_sentence(line))
        outcome = "as recorded" if same else "not as recorded"
        print(f"{len(followed)} of {len(judged)} frames judged again, {len(told)} alarms and decisions, {outcome}")
    return 0 if same or given.set else 1


def _chosen(texts: Sequence[str]) -> dict[str, str]:
    names = {**DriftSettings.model_fields, **QuarantineSettings.model_fields}
    chosen = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in names:
            raise InputError(f"--set {text!r} is not NAME=VALUE with one of the names {', '.join(sorted(names))}")
        chosen[name] = value
    return chosen


def _with(held: _Settings, chosen: Mapping[str, str]) -> _Settings | None:
    """The settings with those of them that were chosen; None where none was."""
    own = {name: value for name, value in chosen.items() if name in type(held).model_fields}
    if not own:
        return None
    try:
        return type(held).model_validate({**held.model_dump(), **own})
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"--set {first['loc'][0]}={first['input']}: {first['msg']}") from error


def _lines(one: Rejudged, carried_out: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    about = {"frame": one.frame, "source": one.source}
    now: _Told = (*(one.events or ()), *(one.decisions or ()))
    then: _Told = (*one.recorded.events, *one.recorded.decisions)
    lines = []
    for told in (*now, *(missing for missing in then if missing not in now)):
        what = {"recorded": told in then, "now": told in now}
        if isinstance(told, DriftEvent):
            lines.append({**about, **told.as_json(), **what})
        else:
            generation = carried_out.get((told.member, told.on(one.source)))
            lines.append({**about, "kind": "quarantine", "member": told.member, "message": told.reason, "generation": generation, **what})
    return lines


def _sentence(line: Mapping[str, Any]) -> str:
    subject = line["member"] or line["cause"]
    how = {(True, True): "", (True, False): " [only then]", (False, True): " [only now]"}[line["recorded"], line["now"]]
    held = f" (generation {line['generation']})" if line.get("generation") is not None else ""
    return f"frame {line['frame']}, {line['source']}: {line['kind']} {subject}: {line['message']}{held}{how}"
