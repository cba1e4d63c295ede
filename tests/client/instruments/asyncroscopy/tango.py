"""What our client calls of PyTango, with the devices of asyncroscopy behind it: scans come as a file, then as a key in Tiled, and every fifth fails."""

import os
import tempfile
import time

import numpy as np

FOLDER = tempfile.mkdtemp()


def pixels(number):
    """Scan `number`; the first pixel is the number."""
    image = np.random.RandomState(number).randint(0, 60000, (48, 64)).astype(np.uint16)
    image[0, 0] = number
    return image


class _Told:
    reason, desc = "HardwareUnavailable", "AutoScript microscope hardware is not connected."


class DevFailed(Exception):
    pass


class DeviceProxy:
    number = -1

    def __init__(self, name):
        self.imsize, self.dwell_time, self.scan_region = 64, 2e-6, np.array([0.0, 0.0, 1.0, 1.0])

    def set_timeout_millis(self, timeout):
        assert timeout > 0

    def get_command_list(self):
        return ["Disconnect", "acquire_scanned_image", "get_fov"]

    def get_fov(self):
        return float(np.float32(1.28e-9))

    def get_config(self):
        return '{"uri": "' + FOLDER + '"}'

    def acquire_scanned_image(self, detector_list):
        time.sleep(0.05)
        DeviceProxy.number += 1
        if DeviceProxy.number % 5 == 4:
            raise DevFailed(_Told())
        assert detector_list == ["haadf"]
        path = os.path.join(FOLDER, "{}.npy".format(DeviceProxy.number))
        np.save(path, pixels(DeviceProxy.number))
        return os.path.basename(path) if DeviceProxy.number % 2 else path
