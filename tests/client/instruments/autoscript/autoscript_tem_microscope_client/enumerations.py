class RegionCoordinateSystem:
    RELATIVE = "Relative"
