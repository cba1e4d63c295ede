"""The ensemble bundle: a directory, or the same as a zip, with a card, ONNX members and golden frames.

A bundle is untrusted input. Nothing here unpickles, follows links, leaves the bundle's folder or trusts a size.
"""

from ._archive import LIMITS, Limits, pack, unpack
from ._card import Card, GoldenEntry, MemberEntry, Normalization, parse_card
from ._diff import BundleDiff, Difference, diff_cards
from ._errors import BundleError
from ._find import find_bundle, shipped_bundles
from ._golden import GoldenFrame, load_golden, save_golden
from ._member import check_member
from ._open import Bundle, is_bundle, open_bundle
from ._write import MemberSource, write_bundle

__all__ = [
    "LIMITS",
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
    "check_member",
    "diff_cards",
    "find_bundle",
    "load_golden",
    "is_bundle",
    "open_bundle",
    "pack",
    "parse_card",
    "save_golden",
    "shipped_bundles",
    "unpack",
    "write_bundle",
]
