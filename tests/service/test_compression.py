"""Our decompression agrees with that of DECTRIS's own package."""

from __future__ import annotations

import foreign
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomstream_service.formats._compression import Algorithm, decompress
from atomstream_wire import WireError

dectris = pytest.importorskip("dectris.compression", reason="dectris-compression is not installed: it has no wheels")

_IMAGE = np.random.default_rng(3).poisson(4, (50, 70)).astype("<u2")
_DATA = {algorithm: foreign.compressed(_IMAGE, algorithm) for algorithm in ("lz4", "bslz4")}


@pytest.mark.parametrize("algorithm", ["lz4", "bslz4"])
@pytest.mark.parametrize("dtype", ["u1", "<u2", "<u4", "<f8"])
@pytest.mark.parametrize("shape", [(512, 384), (7, 9), (1, 1)])
def test_both_make_the_same_of_what_hdf5s_filters_wrote(algorithm: Algorithm, dtype: str, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(3).poisson(9, shape).astype(dtype)
    data = foreign.compressed(image, algorithm)

    assert decompress(algorithm, data, image.itemsize, image.nbytes).tobytes() == image.tobytes()
    assert dectris.decompress(data, algorithm, elem_size=image.itemsize) == image.tobytes()


@given(st.sampled_from(["lz4", "bslz4"]), st.data())
def test_whatever_ours_makes_of_damaged_data_theirs_makes_of_them_too(algorithm: Algorithm, data: st.DataObject) -> None:
    damaged = bytearray(_DATA[algorithm])
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        ours = decompress(algorithm, bytes(damaged), 2, _IMAGE.nbytes)
    except WireError:
        return
    assert ours.tobytes() == dectris.decompress(bytes(damaged), algorithm, elem_size=2)
