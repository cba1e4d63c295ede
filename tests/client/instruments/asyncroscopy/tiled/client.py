import os

import numpy as np


class _Array:
    def __init__(self, path):
        self._path = path

    def read(self):
        return np.load(self._path)


class _Root:
    def __init__(self, folder):
        self._folder = folder

    def __getitem__(self, key):
        return {"image": {"HAADF": _Array(os.path.join(self._folder, key))}}


def from_uri(uri):
    return _Root(uri)
