"""Every fifth snapshot is answered by an error in a dict, as TEMCenter's REST service does."""

import time

import numpy as np


def pixels(number):
    """Scan `number`; the first pixel is the number."""
    image = np.random.RandomState(number).randint(0, 60000, (48, 64)).astype("<u2")
    image[0, 0] = number
    return image


def get_attached_detector():
    return ["HAADF", "BF"]


class Detector:
    number = -1

    def __init__(self, detectorName):
        assert detectorName in get_attached_detector()

    def get_detectorsetting(self):
        return {
            "OutputImageInformation": {"ImageSize": {"Width": 64, "Height": 48}},
            "ImagingArea": {"X": 0, "Y": 0, "Width": 64, "Height": 48},
            "AreaModeImagingArea": {"X": 0, "Y": 0, "Width": 64, "Height": 48},
            "scanMode": 0,
            "ExposureTimeValue": 4.0,
            "frameIntegration": 1,
        }

    def snapshot_rawdata(self):
        time.sleep(0.05)
        Detector.number += 1
        if Detector.number % 5 == 4:
            return {"Error": "Detector is not inserted"}
        return pixels(Detector.number).tobytes()
