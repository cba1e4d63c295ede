"""What the engine tells a recorder: `[kind, JSON, buffer, ...]`, a closed set of messages.

frame      Framed     [about, watch over drift, frame header, image, result header, atoms(, mean(, std))]
journal    Journaled  an entry of the journal
ensemble   Answering  an ensemble that answers from now on, with its card
opening    Opening    the first message of each sender, of which there may be several
closing    Closing    its last one
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_models.recording import DriftScores, RecordedFrame
from atomstream_wire import Atoms, Maps, WireError, decode_frame, decode_result, encode_frame, encode_result


@dataclass(frozen=True)
class Framed:
    item: RecordedFrame


@dataclass(frozen=True)
class Journaled:
    """entry : who changed what, when, why, and the generation that it led to"""

    entry: Mapping[str, Any]


@dataclass(frozen=True)
class Answering:
    """card : the ensemble's card as JSON values"""

    name: str
    version: str
    sha256: str
    card: Mapping[str, Any]


@dataclass(frozen=True)
class Opening:
    """A sender is there, from which more is to come until it closes."""


@dataclass(frozen=True)
class Closing:
    """lost : frames that came after the last one sent and could not be sent"""

    lost: int


Message = Framed | Journaled | Answering | Opening | Closing


def encode_message(message: Message) -> list[Any]:
    """The parts of a message; images, atoms and maps are the arrays' own memory."""
    match message:
        case Framed(item):
            maps = [] if item.mean is None else encode_result(Maps(item.report, item.mean, item.std))[1:]
            about = {"dropped_before": item.dropped_before, "drift": _drift_json(item.drift)}
            return [b"frame", _json(about), item.watched, *encode_frame(item.frame)[1:], *encode_result(Atoms(item.report, item.atoms))[1:], *maps]
        case Journaled(entry):
            return [b"journal", _json(entry)]
        case Answering(name, version, sha256, card):
            return [b"ensemble", _json({"name": name, "version": version, "sha256": sha256, "card": card})]
        case Opening():
            return [b"opening", b"{}"]
        case Closing(lost):
            return [b"closing", _json({"lost": lost})]


def decode_message(parts: Sequence[Any]) -> Message:
    """The message in these parts; its arrays are views of them.

    Raises
    ------
    WireError
        where it is none of them.
    """
    if len(parts) < 2:
        raise WireError("part_count", f"{len(parts)} parts came, a message to a recorder has two at least")
    kind = bytes(parts[0])
    try:
        body = json.loads(bytes(parts[1]))
        if kind == b"frame":
            return Framed(_framed(body, parts[2:]))
        if kind == b"journal":
            return Journaled(body)
        if kind == b"ensemble":
            return Answering(body["name"], body["version"], body["sha256"], body["card"])
        if kind == b"opening":
            return Opening()
        if kind == b"closing":
            return Closing(int(body["lost"]))
    except WireError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise WireError("bad_value", f"a {kind!r} message to a recorder can't be read: {error}") from error
    raise WireError("bad_value", f"{kind!r} is not frame, journal, ensemble, opening or closing")


def _framed(about: Mapping[str, Any], parts: Sequence[Any]) -> RecordedFrame:
    if len(parts) < 5:
        raise WireError("part_count", f"{len(parts)} parts came, a frame to record has five at least")
    watched, header, image, result, atoms, *maps = parts
    source = json.loads(bytes(header))["source"].encode()
    frame, answer = decode_frame([source, header, image]), decode_result([b"", result, atoms])
    found = decode_result([b"", *maps]) if maps else None
    if not isinstance(answer, Atoms) or not isinstance(found, Maps | None):
        raise WireError("bad_value", "a frame to record has no atoms, or something else in place of its maps")
    mean, std = (None, None) if found is None else (found.mean, found.std)
    item = RecordedFrame.of(frame, answer.report, answer.atoms, drift=_drift_of(about["drift"]), mean=mean, std=std)
    return replace(item, dropped_before=int(about["dropped_before"]), watched=bytes(watched))


def _drift_json(drift: DriftScores | None) -> dict[str, Any] | None:
    if drift is None:
        return None
    values = [[None if np.isnan(value) else value for value in row] for row in drift.values.tolist()]
    return {"members": drift.members, "names": drift.names, "values": values}


def _drift_of(body: Mapping[str, Any] | None) -> DriftScores | None:
    if body is None:
        return None
    members, names = tuple(body["members"]), tuple(body["names"])
    values: NDArray[np.float32] = np.array(body["values"], np.float32).reshape(len(members), len(names))
    return DriftScores(members, names, values)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
