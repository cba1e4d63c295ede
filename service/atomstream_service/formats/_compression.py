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

from atomstream_wire import WireError

Algorithm = Literal["lz4", "bslz4"]

_HEADER = struct.Struct(">QI")
_SIZE = struct.Struct(">I")
_SMALLEST_BLOCK = 128
"""Bytes; smaller blocks would cost a message's sender nothing and its receiver much time."""
_LARGEST_RATIO = 256
"""No byte of LZ4 becomes more than 255."""
_ELEMENT_SIZES = (1, 2, 4, 8)
_AT_ONCE = 1 << 19
"""Bytes that are transposed at once: what stays in a processor's cache."""

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
    if block < min(_SMALLEST_BLOCK, whole):
        raise WireError("bad_value", f"blocks of {block} bytes are too small")
    out = np.empty(expected, np.uint8)
    rest = view[_HEADER.size :]
    if algorithm == "lz4":
        end = _fill(out, block, rest, stored_is_plain=True)
    else:
        if element_size not in _ELEMENT_SIZES or block % (8 * element_size):
            raise WireError("bad_value", f"blocks of {block} bytes are not whole groups of 8 elements of {element_size} bytes")
        transposed = expected - expected % (8 * element_size)
        end = _fill(out[:transposed], block, rest, stored_is_plain=False)
        if rest.nbytes - end != expected - transposed:
            raise WireError("byte_count", f"{rest.nbytes - end} bytes are behind the last block, there should be {expected - transposed}")
        out[transposed:] = np.frombuffer(rest[end:], np.uint8)
        end = rest.nbytes
        _untranspose(out[:transposed], block, element_size)
    if end != rest.nbytes:
        raise WireError("byte_count", f"{rest.nbytes - end} bytes are behind the last block")
    return out


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


def _untranspose(data: _Bytes, block: int, element_size: int) -> None:
    """Put the bits of each block back in place. A block holds bit 0 of byte 0 of all its elements, then bit 1, and so on."""
    whole = data.size - data.size % block
    step = max(_AT_ONCE // block, 1) * block
    for start in range(0, whole, step):
        part = data[start : min(start + step, whole)]
        part[:] = _elements(part.reshape(-1, block), element_size)
    if whole < data.size:
        data[whole:] = _elements(data[whole:].reshape(1, -1), element_size)


def _elements(planes: _Bytes, element_size: int) -> _Bytes:
    """planes : shape (blocks, bytes of a block)"""
    groups = planes.reshape(len(planes), element_size, 8, -1).transpose(0, 3, 1, 2)
    bits = np.ascontiguousarray(groups).view("<u8")
    for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
        moved = (bits ^ (bits >> np.uint64(shift))) & np.uint64(mask)
        bits ^= moved ^ (moved << np.uint64(shift))
    return bits.view(np.uint8).transpose(0, 1, 3, 2).reshape(-1)
