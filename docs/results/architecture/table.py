"""Parameters of the variants of Table 3 for 1,000 classes, and the sizes of ZFNet's maps: python table.py.

Networks without memory: nothing is trained or computed (METHODS M1 to M3).
"""

from pathlib import Path

import torch

from convscope.disk.results import Result, write
from convscope.models.network import Network
from convscope.models.variants import VARIANTS, build

HERE = Path(__file__).parent
MAPS = ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")


def main() -> None:
    """Write result.json beside this file."""
    rows = []
    for name, settings in VARIANTS.items():
        with torch.device("meta"):
            module = build(settings)
        own = {key: each.numel() for key, each in module.named_parameters()}
        held = sum(size for key, size in own.items() if key.split(".")[0] in ("fc6", "fc7"))
        rows.append({"network": name, "measure": "parameters", "value": sum(own.values())})
        rows.append({"network": name, "measure": "parameters of fc6, fc7", "value": held})
    layers = {layer.name: layer for layer in Network(build(VARIANTS["zfnet"]), (3, 224, 224)).layers()}
    rows += [{"network": "zfnet", "measure": "side", "layer": name, "value": layers[name].height} for name in MAPS]
    write(HERE, Result("architecture", {"name": "the variants of Table 3"}, rows))


if __name__ == "__main__":
    main()
