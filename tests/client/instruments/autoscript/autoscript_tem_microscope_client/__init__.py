"""What our client calls of AutoScript TEM, with its parameters' names; every fifth scan fails."""

import time

import numpy as np


def pixels(number, channel):
    """Scan `number` of channel 0 or 1; the first pixel is the number."""
    image = np.random.RandomState(2 * number + channel).randint(0, 60000, (48, 64)).astype(np.uint16)
    image[0, 0] = number
    return image


class _Point:
    def __init__(self, x, y):
        self.x, self.y = x, y


class _Box:
    def __init__(self, **held):
        self.__dict__.update(held)


class _Acquisition:
    number = -1

    def acquire_stem_images_advanced(self, settings):
        time.sleep(0.05)
        _Acquisition.number += 1
        if _Acquisition.number % 5 == 4:
            raise RuntimeError("STEM is not the active mode")
        assert settings.size == 64
        assert settings.region is None or settings.region.coordinate_system == "Relative"
        pixel = 2e-11 if settings.region is None else 2e-11 * settings.region.rectangle.width
        metadata = _Box(binary_result=_Box(pixel_size=_Point(pixel, pixel)), scan_settings=_Box(dwell_time=settings.dwell_time))
        return [_Box(data=pixels(_Acquisition.number, channel), metadata=metadata) for channel in range(len(settings.detector_types))]


class TemMicroscopeClient:
    def __init__(self):
        self.acquisition = _Acquisition()
        self.optics = _Box(scan_field_of_view=64 * 2e-11)

    def connect(self, host, port=9095):
        print("connected to", host, port)

    def disconnect(self):
        print("disconnected")
