"""A network that goes on from an exported member."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from ..errors import InputError
from .data import Feed
from .networks import Network, NetworkSettings, build_network

_EXAMPLE_PX = 64


def network_of(member: Path, settings: NetworkSettings, channels: int, seed: int = 0) -> Network:
    """A network that answers, in evaluation mode, as an exported member does, with norms that can be trained again.

    An export has folded each norm into the convolution before it; here the convolution takes the folded weights and the norm
    passes them on unchanged, until `calibrate` gives it statistics. Where the number of channels differs the last layer
    starts afresh.

    seed : of that layer's weights

    Raises
    ------
    InputError
        where the member has another architecture.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(settings, channels).eval()
    model = onnx.load(str(member))
    values = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    layers = _in_order(network)
    targets = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    wrong = InputError(f"member {member.name} is not a {settings}: it can't be trained on; train from scratch instead")
    if len(convolutions) != len(targets) or any(node.op_type == "BatchNormalization" for node in model.graph.node):
        raise wrong
    with torch.no_grad():
        for node, layer in zip(convolutions, targets, strict=True):
            weight = values.get(node.input[1])
            bias = values.get(node.input[2]) if len(node.input) > 2 else None
            if weight is None or weight.shape != layer.weight.shape:
                if layer is targets[-1]:
                    continue
                raise wrong
            layer.weight.copy_(weight)
            _set_bias(layer, layers, bias if bias is not None else torch.zeros(len(weight)))
    return network


def calibrate(network: nn.Module, feed: Feed, batches: int) -> None:
    """Give a network from `network_of` the norms that training expects; in evaluation mode it still answers the same."""
    seen: dict[nn.BatchNorm2d, list[tuple[Tensor, Tensor]]] = {}

    def look(norm: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        seen.setdefault(norm, []).append((inputs[0].mean((0, 2, 3)), (inputs[0] ** 2).mean((0, 2, 3))))

    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    hooks = [norm.register_forward_hook(look) for norm in norms]
    with torch.no_grad():
        for k in range(batches):
            network.eval()(feed.batch(k).images)
        for hook in hooks:
            hook.remove()
        for norm, moments in seen.items():
            mean = torch.stack([one for one, _ in moments]).mean(0)
            variance = torch.stack([two for _, two in moments]).mean(0) - mean**2
            _pass_on(norm, mean, variance.clamp(min=0))


def _in_order(network: nn.Module) -> list[nn.Module]:
    """Convolutions and norms in the order in which a frame meets them."""
    met: list[nn.Module] = []
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    hooks = [layer.register_forward_hook(lambda layer, inputs, output: met.append(layer)) for layer in layers]
    with torch.no_grad():
        network(torch.zeros(1, 1, _EXAMPLE_PX, _EXAMPLE_PX))
    for hook in hooks:
        hook.remove()
    return met


def _set_bias(layer: nn.Conv2d, layers: list[nn.Module], bias: Tensor) -> None:
    if layer.bias is not None:
        layer.bias.copy_(bias)
        return
    norm = layers[layers.index(layer) + 1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    norm.bias.copy_(bias)
    _pass_on(norm, torch.zeros_like(norm.running_mean), torch.ones_like(norm.running_mean))


def _pass_on(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Change a norm's statistics to these, and its weights so that its answer in evaluation mode is its input plus what its bias was."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    bias = norm.bias - norm.running_mean * norm.weight / torch.sqrt(norm.running_var + norm.eps) if norm.running_mean.any() else norm.bias
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_(torch.sqrt(variance + norm.eps))
    norm.bias.copy_(bias + mean)
