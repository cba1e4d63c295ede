"""The ensemble bundle: a directory, or the same as a zip, with a card, ONNX members and golden frames.

A bundle is untrusted input. Nothing here unpickles, follows links, leaves the bundle's folder or trusts a size.
"""

from ._archive import LIMITS, Limits, copy_bundle, pack, unpack
from ._card import Card, GoldenEntry, MemberEntry, Normalization, parse_card
from ._diff import BundleDiff, Difference, diff_cards
from ._errors import BundleError
from ._find import find_bundle, shipped_bundles
from ._golden import GoldenFrame, load_golden, save_golden
from ._member import check_member
from ._open import Bundle, check_files, check_golden, check_has_card, is_bundle, open_bundle, read_card, unlisted
from ._operators import OPERATORS
from ._write import MemberSource, write_bundle

__all__ = [
    "LIMITS",
    "OPERATORS",
    "Bundle",
    "BundleDiff",
    "BundleError",
    "Card",
    "Difference",
    "GoldenEntry",
    "GoldenFrame",
    "Limits",
    "MemberEntry",
    "MemberSource",
    "Normalization",
    "check_files",
    "check_golden",
    "check_has_card",
    "check_member",
    "copy_bundle",
    "diff_cards",
    "find_bundle",
    "load_golden",
    "is_bundle",
    "open_bundle",
    "pack",
    "parse_card",
    "read_card",
    "save_golden",
    "shipped_bundles",
    "unlisted",
    "unpack",
    "write_bundle",
]
