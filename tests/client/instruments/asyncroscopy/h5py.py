"""Reads an array behind the paths that asyncroscopy's files have; the real h5py is tried in `test_instruments.py`."""

import numpy as np


class File(dict):
    def __init__(self, path, mode):
        dict.__init__(self, image={"HAADF": np.load(path)})

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass
