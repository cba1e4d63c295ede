"""From an ensemble's answers to labels that another ensemble can learn from."""

from ._label import DISCARDED, DOUBTFUL, Classify, Labels, label

__all__ = ["DISCARDED", "DOUBTFUL", "Classify", "Labels", "label"]
