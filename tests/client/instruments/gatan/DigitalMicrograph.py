"""What our script calls of GMS's `DigitalMicrograph`, and a microscope that writes scans into the front image, part by part."""

import os
import threading

import numpy as np

images = []  # all that were created, in order
looked = threading.Semaphore(0)


class Py_ScriptObject:
    """As in early versions of GMS 3.5, without `UnregisterAllListeners`."""

    heard = []

    def ImageHandleDataChangedEvent(self, image, plugin):
        Py_ScriptObject.heard.append(self)
        return 1

    def WindowHandleWindowClosedEvent(self, window, plugin):
        return 2


class _Tags:
    def GetTagAsFloat(self, path):
        return (True, 4.0) if path == "DigiScan:Sample Time" else (False, 0.0)


class _Image:
    def __init__(self, array, scale, unit):
        self.array, self.scale, self.unit, self.name, self.updates = array, scale, unit, "HAADF live", 0

    def GetNumArray(self):
        """A view: writing to it changes the image."""
        looked.release()
        return self.array

    def GetDimensionCalibration(self, dimension, format):
        return 0.0, self.scale[dimension], self.unit

    def SetDimensionCalibration(self, dimension, origin, scale, unit, format):
        assert dimension in (0, 1)

    def GetName(self):
        return self.name

    def SetName(self, name):
        self.name = name

    def GetTagGroup(self):
        return _Tags()

    def ShowImage(self):
        self.updates += 1

    def UpdateImage(self):
        self.updates += 1


class _Document:
    def GetWindow(self):
        return self


# x first, as GMS has it: 20 and 30 pm, in micrometres, whose unit GMS gives as Latin-1 bytes.
front = _Image(np.zeros((48, 64), np.uint16), (2e-5, 3e-5), b"\xb5m")


def GetFrontImage():
    return front


def GetFrontImageDocument():
    return _Document()


def CreateImage(array):
    assert array.base is None, "GMS needs an array that owns its memory"
    made = _Image(array, (1.0, 1.0), "")
    images.append(made)
    return made


def EMCanGetHighTension():
    return True


def EMGetHighTension():
    return 200000.0


def pixels(number):
    """Scan `number`; the first pixel is the number."""
    image = np.random.RandomState(number).randint(1, 60000, (48, 64)).astype(np.uint16)
    image[0, 0] = number
    return image


def write(number, parts):
    """Write these quarters of a scan into the front image, telling the listeners of each, and wait until the script has looked."""
    for part in parts:
        rows = slice(12 * part, 12 * part + 12)
        front.array[rows] = pixels(number)[rows]
        for listener in Py_ScriptObject.heard:
            listener.HandleDataChangedEvent(0, front)
        while looked.acquire(False):
            pass
        for _ in range(2):  # the first look may have begun before the rows were written
            assert looked.acquire(True, 20)


def operate(atoms):
    """Three scans, one that is stopped halfway, another one; then, once `atoms` results were shown, the window is closed."""
    while not Py_ScriptObject.heard:
        looked.acquire(True, 1)
    for number in (1, 2, 3):
        write(number, range(4))
    write(4, range(2))
    for _ in range(200):
        if looked.acquire(True, 1) and os.path.exists(os.environ["STOPPED_SCAN_CAME"]):
            break
    write(5, range(4))
    for _ in range(2000):
        looked.acquire(True, 1)
        if images and images[0].updates >= atoms:
            break
    for listener in Py_ScriptObject.heard:
        listener.HandleWindowClosedEvent(0, _Document())


threading.Thread(target=operate, args=(int(os.environ["ATOMS"]),), daemon=True).start()
