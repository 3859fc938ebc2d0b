"""Decoders: UpConvNets trained to turn what layers say of a picture back into the picture (METHODS I2, M8).

    train_decoders(network, ["pool5", "relu7"], "pictures/", "out/", epochs=1, lr=1e-3, maps=[16], dense=32)

OUT holds `decoders.safetensors`, `log.csv` (the loss of every layer), `training.json` and `state.ckpt`, from which
the same call goes on. All decoders learn from the same forward pass of the network, each from its own error.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.data.exclusions import Exclude
from convscope.data.picture_set import Pictures
from convscope.data.sources import images
from convscope.device import seeded
from convscope.disk.atomic import put
from convscope.errors import ArgumentError, TrainingError
from convscope.models.network import Network
from convscope.models.upconvnet import UNIT, Decoders, read, write
from convscope.probe.optimize.parameterizations import sized
from convscope.probe.trace.record import run
from convscope.progress import silenced
from convscope.training.callbacks import EpochLog, read_log
from convscope.training.data_module import Feed
from convscope.training.lightning_trainer import fit
from convscope.training.module import Trainee
from convscope.training.recipe import LIGHTNING, Recipe
from convscope.training.run_folder import begin, run_folder
from convscope.training.selection import choose

UPCONVNET = Recipe(  # METHODS M8; the number of epochs is ours
    epochs=10,
    batch_size=64,
    lr=1e-4,
    optimizer="adam",
    schedule="plateau",
    drop=0.5,
    init="he",
    radius=None,
    dropout=0.0,
    crops="random",
)
SHAPE = ("maps", "dense")


@dataclass(frozen=True)
class Decoding:
    """What a training gave: `decoders`; `log`, a row an epoch, losses as in `log.csv`; `output`, the folder."""

    decoders: Decoders
    log: list[dict[str, float]]
    output: Path


def train_decoders(
    network: Network,
    layers: Sequence[str],
    pictures: object,
    output: str | Path,
    *,
    side: int | None = None,
    target: int = 128,
    validation: object | None = None,
    exclude: Exclude = (),
    per_class: int | None = None,
    test_cap: int | None = 50,
    split_seed: int = 0,
    recipe: Recipe = UPCONVNET,
    init_from: str | Path | None = None,
    resume: bool = False,
    half: bool = False,
    cache: str | Path | None = None,
    workers: int = 0,
    quiet: bool = False,
    **settings: Any,
) -> Decoding:
    """Train a decoder for each layer on pictures (METHODS I2, M8); the network stays as it is.

    Args:
        side: of the pictures that are cut out to train on, brought to the network's size [default: the network's].
        target: side of the decoded pictures, about: what doubling the layer's rows comes nearest to.
        pictures, validation, exclude, per_class, test_cap, split_seed, cache, workers: as of `train`; classes are only
            needed for `per_class`.
        init_from: decoders to begin from, a file of an earlier training.
        output, resume: as of `train`.
        half: store the weights in half precision.
        settings: `maps` and `dense`, the decoders' widths; values of `Recipe`; of Lightning's Trainer.

    Raises:
        ArgumentError: values out of range, names that nothing has, layers that give neither maps nor vectors.
        DataError: no pictures, classes too small for the split.
        TrainingError: a loss that is not finite; a folder with another training.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    shape = {key: given.pop(key) for key in SHAPE if key in given}
    flags = {key: given.pop(key) for key in LIGHTNING if key in given}
    chosen = recipe.changed(**given)
    with silenced(quiet), seeded(chosen.seed), run_folder(output) as folder:
        out = Path(output)
        training, held_out = choose(
            _classed(pictures),
            validation=None if validation is None else _classed(validation),
            exclude=exclude,
            per_class=per_class,
            test_cap=test_cap,
            split_seed=split_seed,
        )
        if chosen.schedule == "plateau" and held_out is None:
            raise ArgumentError("validation", None, "the plateau schedule needs pictures to validate on")
        colours, own = network.input_size[0], network.input_size[1]
        size = (colours, side or own, side or own)
        place = None if cache is None else Path(cache)
        feed = Feed(training, held_out, size, chosen, begun=network, cache=place, workers=workers)
        decoders = _begun(network, layers, feed, init_from, shape | {"side": target, "colours": colours})
        trainee = DecoderTrainee(decoders, network, chosen)
        columns = ("epoch", "train_loss", "val_loss", *map(_column, decoders.layers), "lr", "seconds")
        log = EpochLog(out / "log.csv", None, columns)
        story = {**chosen.plain(), "data": training.identity(), "side": size[1]}
        key = {
            "trains": "decoders",
            "recipe": story,
            "architecture": decoders.architecture,
            "network": network.fingerprint(),
        }
        goes_on = begin(folder, out, key, ["decoders.safetensors"], resume)
        if fit(trainee, feed, out, resume=goes_on, lightning=flags, callbacks=[log]):
            write(decoders, out / "decoders.safetensors", network, story, half=half)
            put(out / "training.json", (json.dumps(story, indent=1, sort_keys=True) + "\n").encode())
        rows = read_log(out / "log.csv")
    return Decoding(decoders.eval(), [{key: float(value) for key, value in row.items() if value} for row in rows], out)


def _classed(source: object) -> Pictures:
    """Pictures; those without classes as one class."""
    pictures = images(source)
    if pictures.labels is None:
        pictures = pictures.subset(range(len(pictures)))
        pictures.labels, pictures.classes = [0] * len(pictures), ("picture",)
    return pictures


def _begun(
    network: Network, layers: Sequence[str], feed: Feed, init_from: str | Path | None, settings: Mapping[str, Any]
) -> Decoders:
    """The decoders as training begins, their scales measured on a few pictures."""
    graph = network.graph()
    if not layers:
        raise ArgumentError("layers", layers, "expected at least one")
    shapes = {layer: graph.node(layer).shape[1:] for layer in layers}
    if init_from is not None:
        decoders = read(init_from, network).requires_grad_(True).train()
        if decoders.layers != tuple(layers):
            raise ArgumentError("init_from", str(init_from), f"its decoders are for {', '.join(decoders.layers)}")
        return decoders
    decoders = Decoders(shapes, **settings)
    features = features_of(network, feed.sample(64), layers)
    generator = torch.Generator().manual_seed(feed.recipe.seed)
    for layer in layers:
        decoders[layer].initialise(generator)
        scale = features[layer].float().square().mean().sqrt()
        decoders[layer].scale.copy_(torch.where(scale > 0, scale, 1.0))
    return decoders


@torch.no_grad()
def features_of(network: Network, inputs: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """What the layers say of pictures (N, C, H, W) in network space, brought to the network's size."""
    size = network.input_size[1:]
    if tuple(inputs.shape[2:]) != size:
        inputs = F.interpolate(inputs, size, mode="bilinear", antialias=True)
    graph = network.graph()
    return run(network.working(inputs.device), inputs.to(network.dtype), layers, times=graph.times)


class DecoderTrainee(Trainee):
    """Decoders, their recipe, and the numbers of the epoch: train_loss, val_loss (sums over the layers) and each
    layer's val_NAME. Losses are mean squares, 1 is 128 levels.
    """

    levels: Tensor

    def __init__(self, decoders: Decoders, network: Network, recipe: Recipe) -> None:
        super().__init__(decoders, recipe, classes=0)
        self.decoders = decoders
        # In a tuple, so that it is no part of what is trained, moved into training mode, and kept.
        self._encoder = (network,)
        std = network.transform.cropped(network.std)
        self.register_buffer("levels", torch.as_tensor(255 * std / UNIT, dtype=torch.float32), persistent=False)

    def losses(self, inputs: Tensor) -> dict[str, Tensor]:
        """Of every layer, for pictures in network space: the target is the picture at the size that is decoded."""
        features = features_of(self._encoder[0], inputs, self.decoders.layers)
        found = {}
        for layer, decoded in self.decoders({name: value.float() for name, value in features.items()}).items():
            size = (decoded.shape[2], decoded.shape[3])
            target = F.interpolate(inputs, size, mode="bilinear", antialias=True) * sized(self.levels, size)
            found[layer] = F.mse_loss(decoded, target)
        return found

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Mean squared error of the pictures (METHODS M8). Raises TrainingError when not finite."""
        inputs, _ = batch
        loss = torch.stack(list(self.losses(inputs).values())).sum()
        if not math.isfinite(value := float(loss.detach())):
            where = f"epoch {self.current_epoch + 1}, step {batch_idx + 1}, lr {self.record['lr']:g}"
            raise TrainingError(f"the loss is {value} at {where}: a smaller lr or clip may help")
        self._sums += torch.tensor([value * len(inputs), 0, len(inputs)])
        return loss

    def close_epoch(self) -> None:
        """The mean loss over the epoch's batches, as they were seen."""
        loss, _, count = self._all(self._sums)
        self.record["train_loss"] = loss / count

    def on_validation_epoch_start(self) -> None:
        """Sums start at zero: every layer's loss, pictures."""
        self._counts = torch.zeros(len(self.decoders.layers) + 1)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Losses on the centre crop."""
        inputs, _ = batch
        found = [float(loss) * len(inputs) for loss in self.losses(inputs).values()]
        self._counts += torch.tensor([*found, len(inputs)])

    def on_validation_epoch_end(self) -> None:
        """The mean losses; the plateau schedule takes their sum in, in per cent of 128 levels squared."""
        *sums, count = self._all(self._counts)
        losses = {_column(layer): total / count for layer, total in zip(self.decoders.layers, sums, strict=True)}
        self.record |= {"val_loss": sum(losses.values()), **losses}
        if self.recipe.schedule == "plateau":
            self.plateau.update(100 * self.record["val_loss"], self.recipe)


def _column(layer: str) -> str:
    return f"val_{layer}"
