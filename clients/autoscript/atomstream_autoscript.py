"""Acquires STEM images with Thermo Fisher's AutoScript TEM and sends each scan to Atomstream: all detectors of a scan in one message.

    python atomstream_autoscript.py --detectors HAADF,BF --size 1024 --dwell-us 2 --service tcp://HOST:5555

Ctrl+C ends it after the scan that runs. See README.md for what was tried and what was not.
"""

import argparse
import contextlib
import math
import sys
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from atomstream_client import ClientError, FramePublisher

_AGAIN_S = 1.0
_TELL_S = 30.0
_FEW = 0.05


class Instrument:
    """The microscope through AutoScript; connects when it is first asked and again after something failed.

    host, port : of AutoScript's server
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._client: Any = None

    def scan(self, detectors: Sequence[str], size: int, dwell_us: float, region: Optional[Sequence[float]]) -> Tuple[List[Any], Optional[float]]:
        """One image a detector, and the width of the full field in nm, None where it changed meanwhile; takes as long as the scan.

        region : left, top, width, height relative to the full field; None for all of it
        """
        client = self._connected()
        field = _field_nm(client)
        acquired = client.acquisition.acquire_stem_images_advanced(_settings(detectors, size, dwell_us, region))
        images = acquired if isinstance(acquired, list) else [acquired]
        if len(images) != len(detectors):
            raise RuntimeError("{} detectors were asked for ({}), {} images came".format(len(detectors), ", ".join(detectors), len(images)))
        return images, field if field == _field_nm(client) else None

    def forget(self) -> None:
        """Connect anew the next time."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):  # it has failed before; there is nothing more to say
                client.disconnect()

    def _connected(self) -> Any:
        if self._client is None:
            from autoscript_tem_microscope_client import TemMicroscopeClient

            client = TemMicroscopeClient()
            client.connect(self._host, self._port)
            self._client = client
        return self._client


def _settings(detectors: Sequence[str], size: int, dwell_us: float, region: Optional[Sequence[float]]) -> Any:
    from autoscript_tem_microscope_client.enumerations import RegionCoordinateSystem
    from autoscript_tem_microscope_client.structures import Rectangle, Region, StemAcquisitionSettings

    asked: Dict[str, Any] = {"dwell_time": dwell_us * 1e-6, "detector_types": list(detectors), "size": size}
    if region is not None:
        asked["region"] = Region(RegionCoordinateSystem.RELATIVE, Rectangle(*region))
    return StemAcquisitionSettings(**asked)


def _field_nm(client: Any) -> Optional[float]:
    return _positive(client.optics.scan_field_of_view, 1e9)


def _positive(value: Any, factor: float) -> Optional[float]:
    """A number from AutoScript in our unit; None where there is none."""
    try:
        number = float(value) * factor
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def pixel_size_nm(image: Any, field_nm: Optional[float], share: float) -> Optional[Tuple[float, float]]:
    """(y, x) in nm, from the image's own metadata, or for a whole field from its width; None where there is neither, or where the two disagree.

    field_nm : width of the full field; None where it is not known or changed during the scan
    share : of that width which the image shows, 1 for all of it
    """
    size = getattr(getattr(getattr(image, "metadata", None), "binary_result", None), "pixel_size", None)
    y, x = _positive(getattr(size, "y", None), 1e9), _positive(getattr(size, "x", None), 1e9)
    said = None if y is None or x is None else (y, x)
    if field_nm is None:
        return None
    follows = share * field_nm / image.data.shape[1]
    if said is None:
        return (follows, follows) if share == 1 else None
    return said if abs(said[1] - follows) <= _FEW * follows else None


def about(image: Any, field_nm: Optional[float], region: Optional[Sequence[float]], dwell_us: float, energy_kev: Optional[float]) -> Dict[str, Any]:
    """What the header of a scan says.

    dwell_us : as asked for; what the image's metadata say goes before it
    """
    rows, columns = image.data.shape
    size = pixel_size_nm(image, field_nm, 1.0 if region is None else region[2])
    subscan: Optional[Dict[str, Any]] = None
    if region is not None:
        left, top, width, height = region
        subscan = {"center_frac": [top + height / 2, left + width / 2], "size_frac": [height, width]}
        if field_nm is not None:
            subscan["context_fov_nm"] = [field_nm, field_nm]
    used = _positive(getattr(getattr(getattr(image, "metadata", None), "scan_settings", None), "dwell_time", None), 1e6)
    return {
        "pixel_size": size,
        "fov_nm": None if size is None else (size[0] * rows, size[1] * columns),
        "dwell_us": used or dwell_us,
        "beam": {} if energy_kev is None else {"energy_eV": 1000 * energy_kev},
        "subscan": subscan,
        "complete": True,
    }


def stream(instrument: Instrument, publisher: FramePublisher, options: argparse.Namespace) -> None:
    """Scan and send until `options.count` scans were taken, or for ever; what fails is told and tried again."""
    print("scanning {} for {}; Ctrl+C ends it".format(", ".join(options.detectors), options.service))
    taken, told_at, told = 0, time.time(), ""
    while options.count is None or taken < options.count:
        problem, pause = "", 0.0
        try:
            images, field = instrument.scan(options.detectors, options.size, options.dwell_us, options.region)
            taken += 1
            channels = {name: np.asarray(image.data) for name, image in zip(options.detectors, images)}
            publisher.publish(channels, t_end=time.time(), **about(images[0], field, options.region, options.dwell_us, options.energy_kev))
        except ClientError as error:
            problem = "Atomstream: {}".format(error)
        except Exception as error:  # AutoScript raises classes of its own; whatever it is, the next scan may go well
            problem = "AutoScript: {}: {}. Is its server running, the column in STEM mode, and is no other scan running? Trying again.".format(
                type(error).__name__, error
            )
            pause = _AGAIN_S
            instrument.forget()
        if problem and problem != told:
            print(problem, file=sys.stderr)
        told = problem
        if time.time() - told_at > _TELL_S:
            told_at = time.time()
            print("{} scans sent, {} not sent (nobody listens, or the service is behind)".format(publisher.sent, publisher.dropped))
        time.sleep(pause)


def region_of(text: str) -> Tuple[float, ...]:
    """left,top,width,height, each from 0 to 1 of the full field."""
    numbers = tuple(float(part) for part in text.split(","))
    left, top, width, height = numbers
    if not (0 <= left < left + width <= 1 and 0 <= top < top + height <= 1):
        raise ValueError("{} lies outside the field: left,top,width,height are fractions of it".format(text))
    return numbers


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description="Acquire STEM images with AutoScript TEM and send them to Atomstream.")
    parser.add_argument("--host", default="localhost", help="where AutoScript's server runs")
    parser.add_argument("--port", type=int, default=9095)
    parser.add_argument("--detectors", type=lambda text: text.split(","), default=["HAADF"], help="such as HAADF,BF; the first is analysed by default")
    parser.add_argument("--size", type=int, default=1024, help="pixels along a side of the full field, as AutoScript offers them")
    parser.add_argument("--dwell-us", type=float, default=1.0)
    parser.add_argument("--region", type=region_of, help="left,top,width,height as fractions of the full field")
    parser.add_argument("--energy-kev", type=float, help="of the beam, for the header")
    parser.add_argument("--count", type=int, help="scans to take; without it, until Ctrl+C")
    parser.add_argument("--service", default="tcp://127.0.0.1:5555", help="where Atomstream receives frames")
    parser.add_argument("--keys", help="the file that `atomstream keys curve add` made, where the service asks for keys")
    parser.add_argument("--source", default="tfs/autoscript")
    options = parser.parse_args(arguments)
    try:
        import autoscript_tem_microscope_client  # noqa: F401
    except ImportError as error:
        print("{}. Run this with the Python in which AutoScript TEM is installed.".format(error), file=sys.stderr)
        return 2
    try:
        publisher = FramePublisher(options.source, options.service, curve=options.keys)
    except ClientError as error:
        print("Atomstream: {}".format(error), file=sys.stderr)
        return 2
    instrument = Instrument(options.host, options.port)
    try:
        stream(instrument, publisher, options)
    except KeyboardInterrupt:
        pass
    finally:
        instrument.forget()
        publisher.close()
        print("{} scans sent, {} not sent".format(publisher.sent, publisher.dropped))
    return 0


if __name__ == "__main__":
    sys.exit(main())
