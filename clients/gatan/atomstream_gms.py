"""Sends the front image of Gatan's GMS to Atomstream, scan by scan, and shows the atoms in an image of their own.

Open it in GMS's Python editor and run it "on a background thread"; Ctrl+Shift+Q, or closing the image's window, ends it. See README.md.

GMS says that data have changed, not that a scan has ended. So the script looks which rows have changed: a scan is sent once its last row has come or the
next one has begun, and a scan that stops before its last row is sent as incomplete, with the rows that it has.
"""

import math
import threading
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import DigitalMicrograph as DM
import numpy as np

from atomstream_client import Atoms, ClientError, FramePublisher, ResultSubscriber

SERVICE = "tcp://127.0.0.1:5555"  # where Atomstream receives frames
RESULTS = "tcp://127.0.0.1:5556"  # where it publishes atoms; "" where none are to be shown
KEYS = ""  # the file that `atomstream keys curve add` made, where the service runs on another computer
SOURCE = "gatan/digiscan"
CHANNEL = "HAADF"
QUIET_S = 2.0  # a scan whose rows stop coming for so long has been stopped

_NM = {"nm": 1.0, "um": 1e3, "\u00b5m": 1e3, "\u03bcm": 1e3, "mm": 1e6, "m": 1e9, "A": 0.1, "\u00c5": 0.1, "\u212b": 0.1, "pm": 1e-3}
_LOOK_S = 0.05
_IDLE_S = 0.5
_TELL_S = 30.0


class Scan(NamedTuple):
    """A scan that has ended.

    image : its own copy of the data
    rows : how many from the top are of this scan
    pixel_size : (y, x) in nm; None where it is not known or changed while the scan ran
    """

    image: Any
    rows: int
    pixel_size: Optional[Tuple[float, float]]


class ScanFollower:
    """Tells scans from the changes of an image's rows. It knows no GMS and no clock.

    quiet_s : a scan whose rows stop coming for so long has been stopped
    """

    def __init__(self, quiet_s: float = QUIET_S) -> None:
        self._quiet_s = quiet_s
        self._seen: Any = None
        self._ended: Optional[Scan] = None
        self._bottom = 0
        self._settled = 0
        self._last: Any = np.empty(0, int)
        self._changed_at = 0.0
        self._pixel_size: Optional[Tuple[float, float]] = None
        self._rescaled = False

    @property
    def waiting(self) -> bool:
        """Whether a scan is under way, so that the next look should come soon."""
        return self._bottom > 0

    def look(self, view: Any, now: float, pixel_size: Optional[Tuple[float, float]] = None) -> Optional[Scan]:
        """The scan that has ended since the last look, if one has; the first look, and one at another size, only begin.

        view : array (rows, columns), which may be memory that goes on changing
        now : seconds
        pixel_size : as the image is calibrated now
        """
        current = np.array(view, order="C")
        rescaled, self._pixel_size = pixel_size != self._pixel_size, pixel_size
        if self._seen is None or self._seen.shape != current.shape or self._seen.dtype != current.dtype:
            self._seen = current
            self._begin()
            return None
        # As bytes, since NaN is not equal to itself.
        rows = np.flatnonzero((current.view(np.uint8) != self._seen.view(np.uint8)).any(axis=1))
        self._rescaled = (self._rescaled or rescaled) and (len(rows) > 0 or self.waiting)
        finished = None
        if not len(rows):
            # The last row may have been caught half written, so that a scan is handed out one look later.
            if self._ended is not None:
                finished = self._ended
            elif self._bottom and now - self._changed_at >= self._quiet_s:
                finished = Scan(current, self._bottom, self._known)
            if finished is not None:
                self._begin()
            return finished
        if self._begun_anew(rows):
            finished, rows = self._overtaken(current, rows)
            self._begin()
            self._rescaled = rescaled
        self._seen, self._last, self._changed_at = current, rows, now
        if self._bottom < len(current):
            self._settled = self._bottom
        if len(rows):
            self._bottom = max(self._bottom, int(rows[-1]) + 1)
        if self._bottom == len(current):
            self._ended = Scan(current, self._bottom, self._known)
        return finished

    @property
    def _known(self) -> Optional[Tuple[float, float]]:
        return None if self._rescaled else self._pixel_size

    def _begin(self) -> None:
        self._ended, self._bottom, self._settled, self._last, self._rescaled = None, 0, 0, np.empty(0, int), False

    def _begun_anew(self, rows: Any) -> bool:
        """Whether rows have changed that this scan had passed.

        A look while GMS writes a block of rows may miss its upper part, which then changes in the next look; but only a row or two change in both.
        """
        twice = np.intersect1d(rows, self._last)
        return bool(rows[0] < self._settled - 1 or (twice < self._bottom - 1).sum() > 2)

    def _overtaken(self, current: Any, rows: Any) -> Tuple[Scan, Any]:
        """The scan above whose rows the next one has begun, and the rows that are of this next one.

        Where its last row never changed: rows of one value throughout, such as a counting or clipped detector's over vacuum, look the same scan after scan,
        so that they may well have been scanned. Any others were not.
        """
        height, image, bottom = len(current), self._seen, self._bottom
        size = self._known if self._ended is None else self._ended.pixel_size
        for passed in (self._settled, self._bottom):
            # Where the row above is as it was, the next scan has not come this far, so that what changed below is the rest of this one.
            if rows[0] < passed - 1 and passed - 2 not in rows:
                below, rows = rows[rows >= passed - 1], rows[rows < passed - 1]
                image, bottom, above = current.copy(), max([bottom, *(below + 1)]), int(rows[-1]) + 1
                image[:above] = self._seen[:above]
                break
        rest = image[bottom:]
        return Scan(image, height if (rest == rest[:, :1]).all() else int(bottom), size), rows


class FrontImage(DM.Py_ScriptObject):  # type: ignore[misc]
    """Hears from GMS that the image has changed or its window was closed. It only rings, so that GMS never waits for it."""

    def __init__(self) -> None:
        DM.Py_ScriptObject.__init__(self)
        self.rung = threading.Event()
        self.closed = False

    def HandleDataChangedEvent(self, flags: Any, image: Any) -> None:
        self.rung.set()

    def HandleWindowClosedEvent(self, event_flags: Any, window: Any) -> None:
        self.closed = True
        self.rung.set()


class AtomsImage:
    """An image in GMS with a spot for each atom, as bright as the atom is probable, on the grid of the scan."""

    def __init__(self) -> None:
        self._image: Any = None
        self._shape: Optional[Tuple[int, int]] = None

    def show(self, answer: Atoms) -> None:
        rows, columns = answer.report.shape
        spots = np.zeros((rows, columns), np.float32)
        y = np.clip(np.rint(answer.atoms[:, 0]).astype(int), 0, rows - 1)
        x = np.clip(np.rint(answer.atoms[:, 1]).astype(int), 0, columns - 1)
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                spots[np.clip(y + down, 0, rows - 1), np.clip(x + right, 0, columns - 1)] = answer.atoms[:, 3]
        if self._image is None or self._shape != (rows, columns):
            self._image, self._shape = DM.CreateImage(spots.copy()), (rows, columns)
            self._image.SetName("Atomstream: atoms")
            self._calibrate(answer.report.pixel_size)
            self._image.ShowImage()
        else:
            self._image.GetNumArray()[:] = spots
            self._calibrate(answer.report.pixel_size)
            self._image.UpdateImage()

    def _calibrate(self, pixel_size: Optional[Tuple[float, float]]) -> None:
        """As this scan is, which may have another field of view than the one before."""
        (y, x), unit = (pixel_size, "nm") if pixel_size is not None else ((1.0, 1.0), "")
        self._image.SetDimensionCalibration(0, 0.0, x, unit, 0)  # GMS counts x first
        self._image.SetDimensionCalibration(1, 0.0, y, unit, 0)


def pixel_size_nm(image: Any) -> Optional[Tuple[float, float]]:
    """(y, x) in nm as the image is calibrated; None where it is not, or not in lengths (such as 1/nm)."""
    sizes: List[float] = []
    for dimension in (1, 0):  # GMS counts x first
        _, scale, unit = image.GetDimensionCalibration(dimension, 0)
        # GMS hands its micrometre out as Latin-1 bytes.
        name = (unit.decode("latin-1") if isinstance(unit, bytes) else str(unit)).strip()
        size = float(scale) * _NM.get(name, math.nan)
        if not (math.isfinite(size) and size > 0):
            return None
        sizes.append(size)
    return sizes[0], sizes[1]


def dwell_us(image: Any) -> Optional[float]:
    """The dwell time that DigiScan left in the image's tags, in microseconds; None where it left none."""
    found, value = image.GetTagGroup().GetTagAsFloat("DigiScan:Sample Time")
    return float(value) if found and value > 0 else None


def beam() -> Dict[str, float]:
    """The high tension, where this GMS can ask the microscope for it."""
    can = getattr(DM, "EMCanGetHighTension", None)
    return {"energy_eV": float(DM.EMGetHighTension())} if can is not None and can() else {}


def about(image: Any, scan: Scan) -> Dict[str, Any]:
    """What the header of a scan says."""
    rows, columns = scan.image.shape
    size = scan.pixel_size
    return {
        "pixel_size": size,
        "fov_nm": None if size is None else (size[0] * rows, size[1] * columns),
        "dwell_us": dwell_us(image),
        "beam": beam(),
        "complete": scan.rows == rows,
        "valid_rows": (0, scan.rows),
        "user": {"image": str(image.GetName())},
    }


def main(service: str = SERVICE, results: str = RESULTS, keys: str = KEYS, quiet_s: float = QUIET_S) -> Tuple[int, int]:
    """Stream the front image until its window is closed or the script is stopped; returns how many scans were sent and not sent."""
    image = DM.GetFrontImage()
    if image.GetNumArray().ndim != 2:
        print("Atomstream: the front image '{}' has {} dimensions. Bring the live STEM image to the front and run this again.".format(
            image.GetName(), image.GetNumArray().ndim))  # fmt: skip
        return 0, 0
    listener = FrontImage()
    publisher = FramePublisher(SOURCE, service, curve=keys or None)
    subscriber = ResultSubscriber(results, kinds=("atoms",), source=SOURCE, latest=True, curve=keys or None) if results else None
    listener.ImageHandleDataChangedEvent(image, "pythonplugin")
    listener.WindowHandleWindowClosedEvent(DM.GetFrontImageDocument().GetWindow(), "pythonplugin")
    print("Atomstream: streaming '{}' to {}. Ctrl+Shift+Q or closing the image ends it.".format(image.GetName(), service))
    try:
        _stream(image, listener, publisher, subscriber, ScanFollower(quiet_s))
    finally:
        if hasattr(listener, "UnregisterAllListeners"):  # early versions of GMS 3.5 have none
            listener.UnregisterAllListeners()
        publisher.close()
        if subscriber is not None:
            subscriber.close()
        print("Atomstream: ended. {} scans sent, {} not sent.".format(publisher.sent, publisher.dropped))
    return publisher.sent, publisher.dropped


def _stream(image: Any, listener: FrontImage, publisher: FramePublisher, subscriber: Optional[ResultSubscriber], follower: ScanFollower) -> None:
    atoms: Optional[AtomsImage] = AtomsImage()
    told_at, told = time.time(), ""
    while not listener.closed:
        # Looked at anyway from time to time, in case GMS delivers no events to a script that is running.
        listener.rung.wait(_LOOK_S if follower.waiting else _IDLE_S)
        listener.rung.clear()
        scan = follower.look(image.GetNumArray(), time.time(), pixel_size_nm(image))
        problem = ""
        try:
            if scan is not None:
                publisher.publish({CHANNEL: scan.image}, t_end=time.time(), **about(image, scan))
            answer = None if subscriber is None else subscriber.receive(0)
        except ClientError as error:
            answer, problem = None, str(error)
        try:
            if isinstance(answer, Atoms) and atoms is not None:
                atoms.show(answer)
        except Exception as error:  # whatever GMS raises where the image of atoms was closed; scans go on being sent
            atoms, problem = None, "the atoms are not shown any more: {}: {}".format(type(error).__name__, error)
        if problem and problem != told:
            print("Atomstream: {}".format(problem))
            told = problem
        if time.time() - told_at > _TELL_S:
            told_at = time.time()
            print("Atomstream: {} scans sent, {} not sent (nobody listens, or the service is behind).".format(publisher.sent, publisher.dropped))
        time.sleep(_LOOK_S / 5)  # at most a hundred looks a second, however often GMS rings


# GMS runs a script under a name that it does not document; only `import atomstream_gms` must not start it.
if __name__ != "atomstream_gms":
    main()
