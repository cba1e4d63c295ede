"""Which members of an ensemble are free of artifacts on given frames, and the bundle that holds those."""

from ._choose import choose, rank
from ._gallery import gallery
from ._score import WEIGHTS, MemberScores, score_members
from ._subset import subset_bundle

__all__ = ["WEIGHTS", "MemberScores", "choose", "gallery", "rank", "score_members", "subset_bundle"]
