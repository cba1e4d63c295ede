from __future__ import annotations

from torch import nn


def start_as_atomai(network: nn.Module) -> None:
    """Give every convolution Xavier-uniform weights and zero biases, as AtomAI's ensemble trainer does before each member (utils/nn.py, `weights_init`)."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
