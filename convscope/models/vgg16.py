"""VGG16 as Keras has it: its names of layers, its preprocessing, weights from its own file (METHODS M7).

`load` opens it as "keras:vgg16@vgg16.npz", a file that `numpy.savez("vgg16.npz", *VGG16().get_weights())` writes in
Keras, or as "keras:vgg16@random".

Keras gives it blue, green, red minus a mean, in levels of 0 to 255; here the first convolution's weights are turned
round instead, and the network is given red, green, blue, as every other.
"""

import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from convscope.device import seeded
from convscope.errors import WeightsError
from convscope.models.network import Network
from convscope.models.weight_files import load_state

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
MEAN = (123.68, 116.779, 103.939)  # of red, green and blue, in levels
LAYERS = ("block1_relu1", "block2_relu1", "block5_relu3")  # the first, second and final of METHODS P2
MAPS, SIDE = 512, 7  # of the last pooling
EXPECTED = 'vgg16.npz, as numpy.savez("vgg16.npz", *keras.applications.VGG16().get_weights()) writes it'


def vgg16(weights: str | None) -> Network:
    """VGG16 with the weights of a file, or "random" ones that are always the same.

    Raises WeightsError for no file (naming the one expected), a file that cannot be read, or other weights.
    """
    from torchvision.models import VGG16_Weights

    if weights is None:
        raise WeightsError(f"weights of 'keras:vgg16' are not bundled: expected keras:vgg16@FILE, {EXPECTED}")
    with seeded(0):
        module = _module()
    if weights != "random":
        load_state(module, _state(module, weights), weights)
    classes = VGG16_Weights.DEFAULT.meta["categories"]
    return Network(module, (3, 224, 224), [m / 255 for m in MEAN], 1 / 255, classes, "vgg16", 256)


def _module() -> nn.Sequential:
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 3
    for block, maps in enumerate(BLOCKS, 1):
        for number, count in enumerate(maps, 1):
            modules[f"block{block}_conv{number}"] = nn.Conv2d(channels, count, 3, padding=1)
            modules[f"block{block}_relu{number}"] = nn.ReLU()
            channels = count
        modules[f"block{block}_pool"] = nn.MaxPool2d(2)
    modules["flatten"] = nn.Flatten()
    modules["fc1"] = nn.Linear(MAPS * SIDE**2, 4096)
    modules["fc1_relu"] = nn.ReLU()
    modules["fc2"] = nn.Linear(4096, 4096)
    modules["fc2_relu"] = nn.ReLU()
    modules["predictions"] = nn.Linear(4096, 1000)
    return nn.Sequential(modules)


def _state(module: nn.Module, file: str) -> dict[str, Tensor]:
    """The arrays of Keras' `get_weights()` as a state dict: kernels (rows, columns, in, out), matrices (in, out)."""
    try:
        with np.load(file, allow_pickle=False) as found:
            arrays = [torch.from_numpy(found[name]) for name in found.files]
    except FileNotFoundError as error:
        raise WeightsError(f"weights: there is no file {file!r}: expected {EXPECTED}") from error
    except (ValueError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise WeightsError(f"weights: {Path(file).name!r} cannot be read: expected {EXPECTED}") from error
    names = list(module.state_dict())
    if len(arrays) != len(names):
        raise WeightsError(f"weights: {file!r} holds {len(arrays)} arrays: expected {len(names)}, {EXPECTED}")
    return {name: _turned(name, array).contiguous() for name, array in zip(names, arrays, strict=True)}


def _turned(name: str, array: Tensor) -> Tensor:
    if array.dim() == 4:
        kernel = array.permute(3, 2, 0, 1)
        return kernel.flip(1) if name == "block1_conv1.weight" else kernel
    if array.dim() != 2:
        return array
    if name == "fc1.weight" and len(array) == MAPS * SIDE**2:  # Keras flattens maps last
        array = array.reshape(SIDE, SIDE, MAPS, -1).permute(2, 0, 1, 3).flatten(0, 2)
    return array.T
