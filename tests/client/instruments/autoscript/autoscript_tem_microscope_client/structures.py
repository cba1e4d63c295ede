class Rectangle:
    def __init__(self, left, top, width, height):
        self.left, self.top, self.width, self.height = left, top, width, height


class Region:
    def __init__(self, coordinate_system, rectangle):
        self.coordinate_system, self.rectangle = coordinate_system, rectangle


class StemAcquisitionSettings:
    def __init__(self, dwell_time=None, detector_types=None, size=None, region=None):
        self.dwell_time, self.detector_types, self.size, self.region = dwell_time, detector_types, size, region
