"""Acquires STEM images with JEOL's PyJEM and sends them to Atomstream. One file, Python 3.5 or later, NumPy and pyzmq: no other part of Atomstream.

    python atomstream_jeol.py --detector HAADF --calibration 2000000=64 --service tcp://HOST:5555

Ctrl+C ends it after the scan that runs. See README.md for what was tried and what was not.
"""

import argparse
import json
import sys
import time
import uuid
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import zmq

_SCHEMA = "atomstream.frame.v1"
_AREA = 3
_AGAIN_S = 1.0
_TELL_S = 30.0


class Publisher:
    """Sends frames and never waits: a frame that nobody takes is counted, and its number is skipped, so that the service knows, too.

    source : name of the instrument, also the messages' topic
    endpoint : where the service receives frames
    keys : file of keys for a service that asks for them, as `atomstream keys curve add` made it; "" for none
    """

    def __init__(self, source: str, endpoint: str, keys: str = "") -> None:
        self.source, self.session = source, uuid.uuid4().hex
        self.sent = self.dropped = self._seq = self._readers = 0
        self._context = zmq.Context()
        # XPUB speaks to SUB sockets as PUB does, but knows its readers and says so where one is full.
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, 2)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._socket.setsockopt(zmq.LINGER, 1000)
        if keys:
            with open(keys, encoding="utf-8") as file:
                pair = json.load(file)
            self._socket.setsockopt(zmq.CURVE_PUBLICKEY, pair["public"].encode("ascii"))
            self._socket.setsockopt(zmq.CURVE_SECRETKEY, pair["secret"].encode("ascii"))
            self._socket.setsockopt(zmq.CURVE_SERVERKEY, pair["server"].encode("ascii"))
        self._socket.connect(endpoint)

    def publish(self, channel: str, image: Any, about: Dict[str, Any]) -> bool:
        """Send one image (rows, columns); True if it went out."""
        header = {
            "schema": _SCHEMA,
            "session": self.session,
            "seq": self._seq,
            "source": self.source,
            "channels": [{"name": channel, "dtype": image.dtype.str, "shape": list(image.shape)}],
            "t_send": time.time(),
        }  # type: Dict[str, Any]
        header.update(about)
        self._seq += 1
        while self._socket.poll(0, zmq.POLLIN):
            self._readers += 1 if self._socket.recv()[:1] == b"\x01" else -1
        out = self._readers > 0 and self._send([self.source.encode("utf-8"), json.dumps(header).encode("utf-8"), np.ascontiguousarray(image)])
        self.sent += out
        self.dropped += not out
        return out

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def _send(self, parts: List[Any]) -> bool:
        try:
            self._socket.send_multipart(parts, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True


class Instrument:
    """One STEM detector through PyJEM; looked up when it is first asked for and again after something failed.

    pyjem : the package, `PyJEM` or `PyJEM.offline`
    name : of the detector, as `detector.get_attached_detector()` lists it
    dtype : of the raw pixels
    """

    def __init__(self, pyjem: Any, name: str, dtype: str) -> None:
        self._pyjem, self._name, self._dtype = pyjem, name, np.dtype(dtype)
        self._detector = None  # type: Any

    def scan(self) -> Tuple[Any, Dict[str, Any]]:
        """An image (rows, columns) and the detector's settings; takes as long as the scan."""
        if self._detector is None:
            attached = list(self._pyjem.detector.get_attached_detector() or [])
            if self._name not in attached:
                raise RuntimeError("no detector '{}'; PyJEM lists {}".format(self._name, ", ".join(map(str, attached)) or "none"))
            self._detector = self._pyjem.detector.Detector(self._name)
        settings = self._detector.get_detectorsetting()
        raw = self._detector.snapshot_rawdata()
        if not isinstance(settings, dict) or not isinstance(raw, (bytes, bytearray)):
            raise RuntimeError("snapshot_rawdata() answered {!r}".format(raw if isinstance(settings, dict) else settings)[:300])
        return image_of(bytes(raw), settings, self._dtype), settings

    def magnification(self) -> float:
        """As TEMCenter shows it."""
        return float(self._pyjem.TEM3.EOS3().GetMagValue()[0])

    def forget(self) -> None:
        """Look the detector up anew the next time."""
        self._detector = None


def image_of(raw: bytes, settings: Dict[str, Any], dtype: Any) -> Any:
    """The array (rows, columns) of raw pixels; RuntimeError where their number is not that of the settings."""
    size = settings["OutputImageInformation"]["ImageSize"]
    rows, columns = int(size["Height"]), int(size["Width"])
    if len(raw) != rows * columns * dtype.itemsize:
        raise RuntimeError("{} bytes came, {} rows of {} pixels of {} need {}; was the image size changed during the scan, or is --dtype another?".format(
            len(raw), rows, columns, dtype.str, rows * columns * dtype.itemsize))  # fmt: skip
    return np.frombuffer(raw, dtype).reshape(rows, columns)


def about(settings: Dict[str, Any], shape: Tuple[int, int], full_nm: Optional[float], energy_kev: Optional[float]) -> Dict[str, Any]:
    """What the header of a scan says.

    full_nm : width of the full scan in nm; None where it is not known
    """
    full = settings.get("ImagingArea") or {}
    area = settings.get("AreaModeImagingArea") if settings.get("scanMode") == _AREA else None
    subscan, size = None, None
    if area and full:
        width, height = float(full["Width"]), float(full["Height"])
        subscan = {
            "center_frac": [(area["Y"] + area["Height"] / 2.0) / height, (area["X"] + area["Width"] / 2.0) / width],
            "size_frac": [area["Height"] / height, area["Width"] / width],
        }
    # In an area scan pixels are those of the full one, whose number of columns the settings still tell.
    columns = full.get("Width") if area else shape[1]
    if full_nm is not None and columns:
        size = [full_nm / columns, full_nm / columns]
    exposure = settings.get("ExposureTimeValue")
    return {
        "pixel_size": size,
        "fov_nm": None if size is None else [size[0] * shape[0], size[1] * shape[1]],
        "dwell_us": float(exposure) if exposure else None,
        "beam": {} if energy_kev is None else {"energy_eV": 1000.0 * energy_kev},
        "subscan": subscan,
        "complete": True,
        "user": {"frames_integrated": settings.get("frameIntegration")},
    }


def stream(instrument: Instrument, publisher: Publisher, options: argparse.Namespace) -> None:
    """Scan and send until `options.count` scans were taken, or for ever; what fails is told and tried again."""
    print("scanning {} for {}; Ctrl+C ends it".format(options.detector, options.service))
    taken, told_at, told = 0, time.time(), ""
    while options.count is None or taken < options.count:
        problem = ""
        try:
            before = instrument.magnification() if options.calibration else None
            image, settings = instrument.scan()
            t_end = time.time()
            # An image during which the magnification was changed has two scales, so it is sent with none.
            known = before is not None and before > 0 and before == instrument.magnification()
            full_nm = options.calibration[0] * options.calibration[1] / before if known else None
            taken += 1
            publisher.publish(options.detector, image, dict(about(settings, image.shape, full_nm, options.energy_kev), t_end=t_end))
        except Exception as error:  # PyJEM lets through whatever its requests raise; the next scan may go well
            problem = "PyJEM: {}: {}. Does TEMCenter run, in STEM mode with the detector inserted? Trying again.".format(type(error).__name__, error)
            instrument.forget()
        if problem and problem != told:
            print(problem, file=sys.stderr)
        told = problem
        if time.time() - told_at > _TELL_S:
            told_at = time.time()
            print("{} scans sent, {} not sent (nobody listens, or the service is behind)".format(publisher.sent, publisher.dropped))
        time.sleep(_AGAIN_S if problem else 0)


def calibration_of(text: str) -> Tuple[float, float]:
    """MAGNIFICATION=NM."""
    magnification, width_nm = (float(part) for part in text.split("="))
    if not (magnification > 0 and width_nm > 0):
        raise ValueError("both numbers of {} must be positive".format(text))
    return magnification, width_nm


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description="Acquire STEM images with PyJEM and send them to Atomstream.")
    parser.add_argument("--detector", default="HAADF", help="as PyJEM's detector.get_attached_detector() lists it")
    parser.add_argument("--dtype", default="<u2", help="of the raw pixels; the public examples read little-endian 16-bit words, some of them signed (<i2)")
    parser.add_argument("--calibration", type=calibration_of, help="MAGNIFICATION=NM: how wide the full scan is at one magnification, such as 2000000=64")
    parser.add_argument("--energy-kev", type=float, help="of the beam, for the header")
    parser.add_argument("--count", type=int, help="scans to take; without it, until Ctrl+C")
    parser.add_argument("--offline", action="store_true", help="PyJEM's own dry run, without a microscope")
    parser.add_argument("--service", default="tcp://127.0.0.1:5555", help="where Atomstream receives frames")
    parser.add_argument("--keys", default="", help="the file that `atomstream keys curve add` made, where the service asks for keys")
    parser.add_argument("--source", default="jeol/pyjem")
    options = parser.parse_args(arguments)
    try:
        if options.offline:
            import PyJEM.offline.detector
            import PyJEM.offline.TEM3

            pyjem = PyJEM.offline
        else:
            import PyJEM.detector
            import PyJEM.TEM3

            pyjem = PyJEM
    except ImportError as error:
        print("{}. Run this with the Python in which PyJEM is installed.".format(error), file=sys.stderr)
        return 2
    try:
        publisher = Publisher(options.source, options.service, options.keys)
    except (OSError, ValueError, KeyError, zmq.ZMQError) as error:
        print("Atomstream: can't send to {} with the keys '{}': {}".format(options.service, options.keys, error), file=sys.stderr)
        return 2
    try:
        stream(Instrument(pyjem, options.detector, options.dtype), publisher, options)
    except KeyboardInterrupt:
        pass
    finally:
        publisher.close()
        print("{} scans sent, {} not sent".format(publisher.sent, publisher.dropped))
    return 0


if __name__ == "__main__":
    sys.exit(main())
