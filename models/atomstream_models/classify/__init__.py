"""Which kind an atom is, from how bright it is in the frame. Classes run from dark to bright: 0 is the darkest."""

from ._automatic import automatic_threshold
from ._classify import Classification, Classified, classify
from ._methods import by_gmm, by_kmeans, by_patches, by_threshold

__all__ = [
    "Classification",
    "Classified",
    "automatic_threshold",
    "by_gmm",
    "by_kmeans",
    "by_patches",
    "by_threshold",
    "classify",
]
