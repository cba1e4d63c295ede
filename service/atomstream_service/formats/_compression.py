"""LZ4, and bitshuffle with LZ4, each in the framing of its HDF5 filter.

The framing: the size of the whole in 8 bytes and of a block in 4, both big-endian, then each block behind its compressed size in 4 bytes. Written
from LZ4_HDF5_format.md of the HDF Group, bshuf_h5filter.c of bitshuffle, and the transposition of 8 by 8 bits in Warren, Hacker's Delight, 7-3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Literal

import lz4.block
import numpy as np
from numpy.typing import NDArray

from atomstream_models.compiled import compiled
from atomstream_wire import WireError

Algorithm = Literal["lz4", "bslz4"]

_HEADER = struct.Struct(">QI")
_SIZE = struct.Struct(">I")
_SMALLEST_BLOCK = 128
"""Bytes; smaller blocks would cost a message's sender nothing and its receiver much time."""
_LARGEST_BLOCK = 0x7E000000
"""Bytes, `LZ4_MAX_INPUT_SIZE`."""
_LARGEST_RATIO = 256
"""No byte of LZ4 becomes more than 255."""
_ELEMENT_SIZES = (1, 2, 4, 8)

_Bytes = NDArray[np.uint8]


def decompress(algorithm: Algorithm, data: Any, element_size: int, expected: int) -> _Bytes:
    """The bytes that were compressed.

    element_size : bytes of one element, by which bitshuffle transposed; not asked for by lz4
    expected : how many bytes have to come out, an amount that may be allocated

    Raises
    ------
    WireError
        where something else comes out, or nothing.
    """
    view = memoryview(data).cast("B")
    if view.nbytes < _HEADER.size:
        raise WireError("byte_count", f"{view.nbytes} bytes came, the framing of {algorithm} alone needs {_HEADER.size}")
    whole, block = _HEADER.unpack_from(view)
    if whole != expected:
        raise WireError("byte_count", f"the {algorithm} data are of {whole} bytes, the image needs {expected}")
    if expected > _LARGEST_RATIO * view.nbytes:
        raise WireError("byte_count", f"{view.nbytes} bytes of {algorithm} can't hold {expected}")
    if not min(_SMALLEST_BLOCK, whole) <= block <= _LARGEST_BLOCK:
        raise WireError("bad_value", f"blocks of {block} bytes are too small or too large")
    out = np.empty(expected, np.uint8)
    rest = view[_HEADER.size :]
    if algorithm == "lz4":
        end, tail = _fill(out, block, rest, stored_is_plain=True), 0
    else:
        if element_size not in _ELEMENT_SIZES or block % (8 * element_size):
            raise WireError("bad_value", f"blocks of {block} bytes are not whole groups of 8 elements of {element_size} bytes")
        # What fills no group of 8 elements is behind the blocks as it is.
        tail = expected % (8 * element_size)
        planes = np.empty(expected - tail, np.uint8)
        end = _fill(planes, block, rest, stored_is_plain=False)
        _untranspose(planes, out, block, element_size)
    if rest.nbytes - end != tail:
        raise WireError("byte_count", f"{rest.nbytes - end} bytes are behind the last block, there should be {tail}")
    out[expected - tail :] = np.frombuffer(rest[end:], np.uint8)
    return out


def make_ready() -> None:
    """Have what decompression needs compiled, or taken from the disk."""
    _untranspose(np.zeros(8, np.uint8), np.empty(8, np.uint8), 8, 1)


def _fill(out: _Bytes, block: int, data: memoryview, stored_is_plain: bool) -> int:
    """Decompress block by block into `out`; where in `data` the last one ended.

    stored_is_plain : whether a block of its full size was left as it is
    """
    at = 0
    for target in _blocks(out, block):
        if data.nbytes - at < _SIZE.size:
            raise WireError("byte_count", f"the data end before a block, {data.nbytes} bytes in")
        (size,) = _SIZE.unpack_from(data, at)
        at += _SIZE.size
        if size > data.nbytes - at:
            raise WireError("byte_count", f"a block of {size} bytes is announced, {data.nbytes - at} are left")
        part = data[at : at + size]
        target[:] = np.frombuffer(part if stored_is_plain and size == target.size else _plain(part, target.size), np.uint8)
        at += size
    return at


def _plain(part: memoryview, size: int) -> bytes:
    try:
        plain: bytes = lz4.block.decompress(part, uncompressed_size=size)
    except (lz4.block.LZ4BlockError, ValueError) as error:
        raise WireError("bad_value", f"a block can't be decompressed: {error}") from error
    if len(plain) != size:
        raise WireError("byte_count", f"a block decompresses to {len(plain)} bytes, not {size}")
    return plain


def _blocks(out: _Bytes, block: int) -> Iterator[_Bytes]:
    for start in range(0, out.size, block):
        yield out[start : start + block]


@compiled
def _untranspose(planes: _Bytes, out: _Bytes, block: int, element_size: int) -> None:
    """Put the bits of each block back in place. A block holds bit 0 of byte 0 of all its elements, then bit 1, and so on."""
    for start in range(0, planes.size, block):
        groups = min(block, planes.size - start) // (8 * element_size)
        for byte in range(element_size):
            for group in range(groups):
                bits = np.uint64(0)
                for bit in range(8):
                    bits |= np.uint64(planes[start + (8 * byte + bit) * groups + group]) << np.uint64(8 * bit)
                moved = (bits ^ (bits >> np.uint64(7))) & np.uint64(0x00AA00AA00AA00AA)
                bits ^= moved ^ (moved << np.uint64(7))
                moved = (bits ^ (bits >> np.uint64(14))) & np.uint64(0x0000CCCC0000CCCC)
                bits ^= moved ^ (moved << np.uint64(14))
                moved = (bits ^ (bits >> np.uint64(28))) & np.uint64(0x00000000F0F0F0F0)
                bits ^= moved ^ (moved << np.uint64(28))
                for one in range(8):
                    out[start + (8 * group + one) * element_size + byte] = np.uint8((bits >> np.uint64(8 * one)) & np.uint64(0xFF))
