"""Results out: `[topic, header, array 0, ...]`, a closed set of four kinds of message.

atoms/<source>   Atoms     every frame, small
maps/<source>    Maps      every frame, the mean and std maps
error/<source>   Failure   instead of both, where a frame can't be processed
event/<kind>     Event     member, ensemble, drift, engine
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from ._arrays import dtype_of, from_bytes, shape_of, to_bytes
from ._errors import WireError
from ._fields import Fields, as_list, check_schema, dump_header, load_header

if TYPE_CHECKING:  # NumPy before 1.21 has no NDArray, and old instruments come with such a NumPy
    from numpy.typing import NDArray

RESULT_SCHEMA = "atomstream.result.v1"
ATOM_COLUMNS = ("y", "x", "class", "p", "p_std", "votes", "sigma_y", "sigma_x", "area", "id")
_MAX_ELEMENTS = 1 << 31


@dataclass(frozen=True)
class EnsembleState:
    """The exact ensemble that made a result.

    sha256 : checksum of the bundle's card, which holds those of its members
    generation : counts up with every change of the ensemble or its members
    """

    name: str
    version: str
    sha256: str
    generation: int


@dataclass(frozen=True)
class FrameReport:
    """What every answer to a frame says about the frame and how it was answered.

    channel : name of the channel analysed
    shape : (rows, columns) of the frame
    t_end, t_recv, t_done : seconds since the epoch: end of scan (publisher's clock), receipt, sending (service's clock)
    members_used, members_total : ids of the members behind this answer, and how many the ensemble has
    classes : names of the atom classes, in the order of maps and class numbers
    flags : every reason for doubt
    tracked : whether the column id numbers tracks, which keep their number from frame to frame, rather than the atoms of this frame
    latency_ms : milliseconds spent per stage, and `total` from receipt to sending
    dropped : frames of this source lost so far, by where
    user, vendor : echoed from the frame
    """

    session: str
    seq: int
    source: str
    channel: str
    shape: Tuple[int, int]
    ensemble: EnsembleState
    members_used: Tuple[str, ...]
    members_total: int
    classes: Tuple[str, ...]
    t_recv: float
    t_done: float
    frame: Optional[int] = None
    pixel_size: Optional[Tuple[float, float]] = None
    pixel_unit: str = "nm"
    t_end: Optional[float] = None
    flags: Tuple[str, ...] = ()
    tracked: bool = False
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    user: Mapping[str, Any] = field(default_factory=dict)
    vendor: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> Dict[str, Any]:
        """The report as it stands in message headers and REST answers."""
        state = self.ensemble
        return {
            "session": self.session,
            "seq": self.seq,
            "source": self.source,
            "frame": self.frame,
            "channel": self.channel,
            "shape": list(self.shape),
            "pixel_size": as_list(self.pixel_size),
            "pixel_unit": self.pixel_unit,
            "t_end": self.t_end,
            "t_recv": self.t_recv,
            "t_done": self.t_done,
            "ensemble": {"name": state.name, "version": state.version, "sha256": state.sha256, "generation": state.generation},
            "members_used": list(self.members_used),
            "members_total": self.members_total,
            "classes": list(self.classes),
            "flags": list(self.flags),
            "tracked": self.tracked,
            "latency_ms": dict(self.latency_ms),
            "dropped": dict(self.dropped),
            "user": dict(self.user),
            "vendor": dict(self.vendor),
        }


@dataclass(frozen=True)
class Atoms:
    """The atoms of a frame.

    atoms : ndarray, shape (N, 10), float32, columns `ATOM_COLUMNS`; y, x in pixels of the frame
    """

    report: FrameReport
    atoms: NDArray[np.float32]

    @property
    def topic(self) -> str:
        return "atoms/" + self.report.source


@dataclass(frozen=True)
class Maps:
    """The maps of a frame.

    mean : ndarray, shape (classes, rows, columns), float32, mean class probability over the members used
    std : the same shape, their population standard deviation; None where one member was used and it is unknown
    """

    report: FrameReport
    mean: NDArray[np.float32]
    std: Optional[NDArray[np.float32]]

    @property
    def topic(self) -> str:
        return "maps/" + self.report.source


@dataclass(frozen=True)
class Failure:
    """Why a frame was not processed. `session` and `seq` are None where the frame's header could not be read."""

    source: str
    code: str
    message: str
    session: Optional[str] = None
    seq: Optional[int] = None
    t_done: float = 0.0

    @property
    def topic(self) -> str:
        return "error/" + self.source


@dataclass(frozen=True)
class Event:
    """Something that changed in the service.

    kind : `member`, `ensemble`, `drift` or `engine`
    t : seconds since the epoch
    body : what changed
    """

    kind: str
    t: float
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        return "event/" + self.kind


Result = Union[Atoms, Maps, Failure, Event]


def encode_result(result: Result) -> List[Any]:
    """The message parts of a result; array parts are the arrays' own memory."""
    header, arrays = _header_of(result)
    return [result.topic.encode(), dump_header({"schema": RESULT_SCHEMA, **header}), *map(to_bytes, arrays)]


def decode_result(parts: Sequence[Any]) -> Result:
    """The result in a multipart message; its arrays are read-only views of the message.

    Raises
    ------
    WireError
        where the message does not follow the schema.
    """
    if len(parts) < 2:
        raise WireError("part_count", f"{len(parts)} parts came, a result has at least a topic and a header")
    header = load_header(parts[1])
    check_schema(header, RESULT_SCHEMA)
    read = Fields(header)
    kind = read.text("type")
    if kind == "error":
        return Failure(
            read.text("source"), read.text("code"), read.text("message"), read.optional_text("session"), read.optional_count("seq"), read.number("t_done")
        )
    if kind == "event":
        return Event(read.text("kind"), read.number("t"), read.mapping("body"))
    if kind not in ("atoms", "maps"):
        raise WireError("bad_value", f"type = {kind!r} is not atoms, maps, error or event")
    arrays = _read_arrays(read.objects("arrays"), parts[2:])
    report = _read_report(read)
    if kind == "atoms":
        return Atoms(report, _named(arrays, "atoms"))
    return Maps(report, _named(arrays, "mean"), arrays.get("std"))


def _header_of(result: Result) -> Tuple[Dict[str, Any], List[NDArray[Any]]]:
    if isinstance(result, Atoms):
        described = {**_describe("atoms", result.atoms), "columns": list(ATOM_COLUMNS)}
        return {"type": "atoms", **result.report.as_json(), "arrays": [described]}, [result.atoms]
    if isinstance(result, Maps):
        report = {"type": "maps", **result.report.as_json()}
        if result.std is None:
            return {**report, "std": None, "arrays": [_describe("mean", result.mean)]}, [result.mean]
        return {**report, "arrays": [_describe("mean", result.mean), _describe("std", result.std)]}, [result.mean, result.std]
    if isinstance(result, Failure):
        return {
            "type": "error",
            "session": result.session,
            "seq": result.seq,
            "source": result.source,
            "code": result.code,
            "message": result.message,
            "t_done": result.t_done,
        }, []
    return {"type": "event", "kind": result.kind, "t": result.t, "body": dict(result.body)}, []


def _read_report(read: Fields) -> FrameReport:
    state = Fields(read.mapping("ensemble"))
    shape = read.optional_pair("shape")
    if shape is None:
        raise WireError("missing_key", "header has no 'shape'")
    return FrameReport(
        session=read.text("session"),
        seq=read.count("seq"),
        source=read.text("source"),
        channel=read.text("channel"),
        shape=(int(shape[0]), int(shape[1])),
        ensemble=EnsembleState(state.text("name"), state.text("version"), state.text("sha256"), state.count("generation")),
        members_used=read.texts("members_used"),
        members_total=read.count("members_total"),
        classes=read.texts("classes"),
        t_recv=read.number("t_recv"),
        t_done=read.number("t_done"),
        frame=read.optional_count("frame"),
        pixel_size=read.optional_pair("pixel_size"),
        pixel_unit=read.optional_text("pixel_unit") or "nm",
        t_end=read.optional_number("t_end"),
        flags=read.texts("flags"),
        tracked=read.flag("tracked", False),
        latency_ms=read.numbers("latency_ms"),
        dropped={where: int(count) for where, count in read.numbers("dropped").items()},
        user=read.mapping("user"),
        vendor=read.mapping("vendor"),
    )


def _describe(name: str, array: NDArray[Any]) -> Dict[str, Any]:
    return {"name": name, "dtype": array.dtype.str, "shape": list(array.shape)}


def _read_arrays(described: List[Dict[str, Any]], parts: Sequence[Any]) -> Dict[str, NDArray[Any]]:
    if len(parts) != len(described):
        raise WireError("part_count", f"{len(parts)} arrays came, the header names {len(described)}")
    arrays = {}
    for one, part in zip(described, parts):
        name = Fields(one).text("name")
        where = f"array {name!r}"
        arrays[name] = from_bytes(part, dtype_of(one.get("dtype"), where), shape_of(one.get("shape"), where, (2, 3), _MAX_ELEMENTS), where)
    return arrays


def _named(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in arrays:
        raise WireError("missing_key", f"the message has no array {name!r}")
    return arrays[name]
