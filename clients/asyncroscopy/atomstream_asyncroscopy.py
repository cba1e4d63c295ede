"""Asks an asyncroscopy server for STEM images and sends each to Atomstream, with the field of view that the server leaves out.

    python atomstream_asyncroscopy.py --tcp HOST:9000 --fov-nm 12                   # the server of 2025 (Twisted)
    python atomstream_asyncroscopy.py --tango asyncroscopy/microscope/default       # the servers of 2026 (Tango)

Ctrl+C ends it after the scan that runs. See README.md for what was tried and what was not.
"""

import argparse
import json
import math
import os
import socket
import struct
import sys
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from atomstream_client import ClientError, FramePublisher

_AGAIN_S = 1.0
_TELL_S = 30.0
_LONGEST_S = 660  # the server refuses scans of more than 600 s
_WHOLE = (0.0, 0.0, 1.0, 1.0)


class Scan(NamedTuple):
    """A scan and what the server told about it.

    image : array (rows, columns)
    field_nm : width of the full field; None where the server does not say
    full_columns : pixels along the full field; None where that is not known
    """

    image: Any
    field_nm: Optional[float]
    full_columns: Optional[int]
    dwell_us: Optional[float]


class TcpServer:
    """The server of 2025: a text command in, `[dtype,shape]` and the pixels out, each behind its length.

    address : HOST:PORT of the central server (9000), or of the microscope's own (9001)
    central : whether it is the central one, which passes on what begins with `AS_` and answers of up to 10 MB
    size, dwell_us : pixels along a side, and microseconds a pixel
    """

    def __init__(self, address: str, central: bool, size: int, dwell_us: float) -> None:
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._size, self._dwell_us = size, dwell_us
        # Whatever detector is named, the server takes HAADF.
        self._command = "{}get_scanned_image scanning_detector=HAADF size={} dwell_time={!r}".format("AS_" if central else "", size, dwell_us * 1e-6)

    def scan(self) -> Scan:
        asked = self._command.encode("utf-8")
        # The server sends more than one answer to some commands, so each has a connection of its own.
        with socket.create_connection(self._address, timeout=_LONGEST_S) as connection:
            connection.sendall(struct.pack("!I", len(asked)) + asked)
            (length,) = struct.unpack("!I", _receive(connection, 4))
            answer = _receive(connection, length)
        return Scan(image_of(answer), None, self._size, self._dwell_us)

    def forget(self) -> None:
        """Nothing is kept between scans."""


def _receive(connection: socket.socket, count: int) -> bytes:
    parts: List[bytes] = []
    missing = count
    while missing:
        part = connection.recv(min(missing, 1 << 20))
        if not part:
            raise ConnectionError("the server closed the connection {} bytes before the end of its answer of {}; the central server passes on 10 MB at most, "
                                  "the microscope's own (--direct) any size".format(missing, count))  # fmt: skip
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def image_of(answer: bytes) -> Any:
    """The array in an answer of the TCP server; RuntimeError with the answer's own words where it holds none."""
    head, found, data = answer.partition(b"]")
    name, _, shape = head[1:].partition(b",")
    if not (found and head.startswith(b"[") and name.startswith((b"float", b"int", b"uint"))):
        raise RuntimeError(answer[:300].decode("utf-8", "replace"))
    dtype = np.dtype(name.decode("ascii")).newbyteorder("<")
    return np.frombuffer(data, dtype).reshape([int(one) for one in shape.split(b",")])


class TangoDevice:
    """The servers of 2026: a Tango device that saves a scan and answers with its place, or, in between, with its pixels.

    name : of the microscope's device
    scan_name, data_name : of the devices that hold the scan's settings and serve files; "" where there are none
    detector : such as haadf
    """

    def __init__(self, name: str, scan_name: str, data_name: str, detector: str) -> None:
        self._name, self._scan_name, self._data_name, self._detector = name, scan_name, data_name, detector
        self._device: Any = None
        self._commands: List[str] = []

    def scan(self) -> Scan:
        import tango

        if self._device is None:
            device = tango.DeviceProxy(self._name)
            device.set_timeout_millis(1000 * _LONGEST_S)
            self._commands = list(device.get_command_list())
            self._device = device
        field = self._field_nm()
        columns: Optional[int] = None
        dwell_us: Optional[float] = None
        if self._scan_name:
            settings = tango.DeviceProxy(self._scan_name)
            dwell_us = 1e6 * settings.dwell_time
            # Whether a part of the field has fewer pixels or smaller ones depends on the microscope behind the server.
            columns = int(settings.imsize) if tuple(settings.scan_region) == _WHOLE else None
        if "acquire_scanned_image" in self._commands:
            image = self._saved(self._device.acquire_scanned_image([self._detector]))
        else:
            told, data = self._device.get_image(self._detector)
            meta = json.loads(told)
            image = np.frombuffer(data, meta["dtype"]).reshape(meta["shape"])
            columns, dwell_us = image.shape[1], 1e6 * meta["dwell_time"]
        return Scan(image, field if field == self._field_nm() else None, columns, dwell_us)

    def forget(self) -> None:
        """Connect anew the next time."""
        self._device = None

    def _field_nm(self) -> Optional[float]:
        if "get_fov" not in self._commands:
            return None
        field = 1e9 * self._device.get_fov()
        # Tango's float has 24 bits, so what was the same may differ in the eighth digit.
        return float("{:.6g}".format(field)) if math.isfinite(field) and field > 0 else None

    def _saved(self, key: str) -> Any:
        if os.path.exists(key):
            import h5py

            with h5py.File(key, "r") as file:
                return np.asarray(dataset(file, self._detector)[()])
        if not self._data_name:
            raise RuntimeError("the scan was saved as '{}', which this computer can't open; name the device that serves files (--tango-data)".format(key))
        import tango
        from tiled.client import from_uri

        place = json.loads(tango.DeviceProxy(self._data_name).get_config())["uri"]
        return np.asarray(dataset(from_uri(place)[key], self._detector).read())


def dataset(tree: Any, name: str) -> Any:
    """What is called `name` (in any case) anywhere in a tree of mappings, as HDF5 files and Tiled are; KeyError where nothing is."""
    for key in tree:
        if key.lower() == name.lower():
            return tree[key]
    for key in tree:
        if hasattr(tree[key], "keys"):
            try:
                return dataset(tree[key], name)
            except KeyError:
                continue
    raise KeyError("nothing is called '{}' among {}".format(name, ", ".join(tree)))


def about(scan: Scan, fov_nm: Optional[float], energy_kev: Optional[float]) -> Dict[str, Any]:
    """What the header of a scan says.

    fov_nm : width of the full field as the operator gave it; what the server says goes before it
    """
    rows, columns = scan.image.shape
    field = scan.field_nm or fov_nm
    size = field / columns if field and scan.full_columns == columns else None
    return {
        "pixel_size": None if size is None else (size, size),
        "fov_nm": None if size is None else (size * rows, size * columns),
        "dwell_us": scan.dwell_us,
        "beam": {} if energy_kev is None else {"energy_eV": 1000 * energy_kev},
        "complete": True,
    }


def words(error: Exception) -> str:
    """An error as the server put it; Tango keeps that in the first of a list."""
    first = error.args[0] if error.args else error
    return str(getattr(first, "desc", error)).strip()


def stream(server: Any, publisher: FramePublisher, options: argparse.Namespace) -> None:
    """Scan and send until `options.count` scans were taken, or for ever; what fails is told and tried again."""
    print("scanning {} for {}; Ctrl+C ends it".format(options.detector, options.service))
    taken, told_at, told = 0, time.time(), ""
    while options.count is None or taken < options.count:
        problem, pause = "", 0.0
        try:
            scan = server.scan()
            taken += 1
            publisher.publish({options.detector.upper(): scan.image}, t_end=time.time(), **about(scan, options.fov_nm, options.energy_kev))
        except ClientError as error:
            problem = "Atomstream: {}".format(error)
        except Exception as error:  # Tango, HDF5 and sockets each have errors of their own; the next scan may go well
            problem = "asyncroscopy: {}: {}. Is the server up and connected to its microscope? Trying again.".format(type(error).__name__, words(error))
            pause = _AGAIN_S
            server.forget()
        if problem and problem != told:
            print(problem, file=sys.stderr)
        told = problem
        if time.time() - told_at > _TELL_S:
            told_at = time.time()
            print("{} scans sent, {} not sent (nobody listens, or the service is behind)".format(publisher.sent, publisher.dropped))
        time.sleep(pause)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description="Send an asyncroscopy server's STEM images to Atomstream.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--tcp", metavar="HOST:PORT", help="the server of 2025: the central one, or with --direct the microscope's own")
    where.add_argument("--tango", metavar="DEVICE", help="the microscope's device of the servers of 2026")
    parser.add_argument("--direct", action="store_true", help="--tcp names the microscope's own server, not the central one")
    parser.add_argument("--size", type=int, default=512, help="with --tcp: pixels along a side")
    parser.add_argument("--dwell-us", type=float, default=2.0, help="with --tcp")
    parser.add_argument("--tango-scan", default="", metavar="DEVICE", help="the device that holds the scan's settings: size, dwell time, region")
    parser.add_argument("--tango-data", default="", metavar="DEVICE", help="the device that serves saved scans, where their files can't be opened here")
    parser.add_argument("--detector", default="haadf")
    parser.add_argument("--fov-nm", type=float, help="width of the full field, where the server does not say; keep it true when you change magnification")
    parser.add_argument("--energy-kev", type=float, help="of the beam, for the header")
    parser.add_argument("--count", type=int, help="scans to take; without it, until Ctrl+C")
    parser.add_argument("--service", default="tcp://127.0.0.1:5555", help="where Atomstream receives frames")
    parser.add_argument("--keys", help="the file that `atomstream keys curve add` made, where the service asks for keys")
    parser.add_argument("--source", default="asyncroscopy/stem")
    options = parser.parse_args(arguments)
    if options.tcp and options.detector.lower() != "haadf":
        parser.error("the server of 2025 always takes HAADF, whatever detector is named")
    try:
        publisher = FramePublisher(options.source, options.service, curve=options.keys)
    except ClientError as error:
        print("Atomstream: {}".format(error), file=sys.stderr)
        return 2
    if options.tcp:
        server: Any = TcpServer(options.tcp, not options.direct, options.size, options.dwell_us)
    else:
        server = TangoDevice(options.tango, options.tango_scan, options.tango_data, options.detector)
    try:
        stream(server, publisher, options)
    except KeyboardInterrupt:
        pass
    finally:
        publisher.close()
        print("{} scans sent, {} not sent".format(publisher.sent, publisher.dropped))
    return 0


if __name__ == "__main__":
    sys.exit(main())
