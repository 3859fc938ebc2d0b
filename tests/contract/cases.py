"""One row for every experiment: how it is called on a small network, and what would be wrong."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

import convscope
from convscope.models.network import Network

FEW = ("inline_skate", "metronome")  # classes of the gallery with fewer than three pictures


@dataclass(frozen=True)
class Case:
    """`run` calls the public function; `arguments` are those of the command, NETWORK and `-o OUT` apart;
    `mistakes`: what to replace in them, {place: wrong value}, and a word of the error. Without `network` the command
    takes none: RUN is a training's folder. named: the network that the result is about.
    """

    run: Callable[[Network, Path], Any]
    arguments: Sequence[str]
    mistakes: Sequence[tuple[dict[int, str], str]] = field(default=())
    network: bool = True
    named: str = "careless"


CASES = {
    "ablate": Case(
        lambda net, picture: convscope.ablate("digits", variants=["m5:maps=[4]"], per_class=2, epochs=1, device="cpu"),
        ["digits", "--variants", "m5:maps=[4]", "--variants", "m5:maps=[2]", "--per-class", "2", "--epochs", "1"],
        [
            ({0: "nowhere"}, "nowhere"),
            ({0: "gallery", 5: "--validation", 6: "digits"}, "other classes"),
            ({2: "m7"}, "variants is 'm7': expected one of alexnet"),
            ({2: "m5:remove=[3]"}, "no such settings"),
            ({2: "m5:maps"}, "expected NAME=VALUE"),
            ({4: "m5:maps=[0]"}, "maps"),
            ({3: "--side", 4: "2"}, "would be empty"),
            ({3: "--seeds", 4: "0"}, "seeds is 0"),
            ({3: "--repeated", 4: "m6"}, "expected of the variants"),
            ({3: "--width", 4: "0"}, "width is 0.0"),
            ({3: "--units", 4: "nan"}, "units is nan"),
            ({3: "--sample", 4: "0"}, "sample is 0"),
            ({3: "--settings", 4: "lr=-1"}, "lr is -1"),
            ({3: "--settings", 4: "rate=1"}, "rate"),
            ({3: "--recipe", 4: "mine"}, "recipe is 'mine'"),
            ({5: "--epochs"}, "expected pictures to measure on"),
            ({6: "178"}, "class '0' has 178 pictures, need 179"),
            ({8: "0"}, "epochs is 0"),
        ],
        network=False,
        named="m5:maps=[4]",
    ),
    "activations": Case(
        lambda net, picture: convscope.activations(net, picture, layers=["conv", "rectified"]),
        ["PICTURE", "--layers", "relu"],
        [
            ({2: "rleu"}, "the nearest are relu"),
            ({0: "none.png"}, "none.png"),
            ({0: "no-picture.png"}, "no-picture.png"),
        ],
    ),
    "correspondence": Case(
        lambda net, picture: convscope.correspondence(net, "gallery", "faces", count=2, draws=1, layers=["relu"]),
        ["gallery", "faces", "--count", "3", "--draws", "2"],
        [
            ({1: "none.csv"}, "none.csv: no such table"),
            ({1: "no-picture.png"}, "expected the columns image, part"),
            ({0: "picture.png"}, "no line names a picture of picture.png"),
            ({3: "1"}, "count is 1: expected 2 to 12"),
            ({5: "0"}, "draws is 0"),
            ({2: "--fill", 3: "red"}, "fill"),
            ({2: "--layers", 3: "rleu"}, "the nearest are relu"),
        ],
    ),
    "curvature": Case(
        lambda net, picture: convscope.curvature(net, ["conv:3", "conv:2@0,1"], steps=60, krylov=4, count=1),
        ["relu:3", "--steps", "3", "--krylov", "4", "--count", "1"],
        [
            ({0: "rleu:3"}, "the nearest are relu"),
            ({0: "relu:99"}, "channels 0 to 5"),
            ({2: "0"}, "steps is 0"),
            ({4: "1"}, "krylov is 1"),
            ({1: "--norm", 2: "0"}, "norm is 0.0"),
            ({1: "--beta", 2: "-1"}, "beta is -1.0"),
            ({1: "--way", 2: "guess"}, "guess"),
            ({1: "--picture", 2: "none.png"}, "none.png"),
            ({1: "--picture", 2: "no-picture.png"}, "no-picture.png"),
        ],
    ),
    "dissect": Case(
        lambda net, picture: convscope.dissect(net, "drawn:5", layers=["relu"], quantile=0.05, rotations=1),
        ["drawn:6", "--layers", "relu", "--rotations", "1"],
        [
            ({0: "nowhere"}, "no such folder"),
            ({0: "drawn:0"}, "expected drawn:N"),
            ({0: "run"}, "neither index.csv"),
            ({2: "rleu"}, "the nearest are relu"),
            ({4: "-1"}, "rotations is -1"),
            ({3: "--quantile", 4: "1"}, "quantile is 1.0"),
            ({3: "--grid", 4: "0"}, "grid is 0"),
        ],
    ),
    "evolution": Case(
        lambda net, picture: convscope.evolution([(1, net), (2, net)], picture, available=True),
        ["RUN", "PICTURE", "--builder", "py:tests.contract.cases:network", "--epochs", "1", "--epochs", "2"],
        [
            ({0: "nowhere"}, "nowhere"),
            ({7: "3"}, "no such snapshot; there are 1, 2"),
            ({1: "none.png"}, "none.png"),
            ({3: "py:tests.contract.cases:nothing"}, "has no 'nothing'"),
        ],
        network=False,
    ),
    "diagnose": Case(
        lambda net, picture: convscope.diagnose(net, picture, versus=[net]),
        ["PICTURE", "--limit", "3"],
        [
            ({0: "none.png"}, "none.png"),
            ({0: "no-picture.png"}, "none of the 1 pictures"),
            ({2: "0"}, "limit is 0"),
            ({1: "--layer", 2: "relu"}, "expected a convolution, such as conv"),
            ({1: "--versus", 2: "zfnet12"}, "network is 'zfnet12'"),
        ],
    ),
    "invariance": Case(
        lambda net, picture: convscope.invariance(net, picture, scales=[1, 1.5], rotations=[90.0], translations=[3]),
        ["PICTURE", "--scales", "1.2", "--rotations", "45", "--translations", "-3"],
        [
            ({2: "0"}, "scale is 0"),
            ({1: "--layers", 2: "rleu"}, "the nearest are relu"),
            ({1: "--labels", 2: "cat"}, "gives no scores of classes"),
            ({0: "none.png"}, "none.png"),
            ({0: "no-picture.png"}, "no-picture.png"),
        ],
    ),
    "invert": Case(
        lambda net, picture: convscope.invert(net, picture, layers=["relu", "last"], descriptors=["uoctti"], steps=2),
        ["PICTURE", "--layers", "relu", "--descriptors", "hog", "--steps", "2"],
        [
            ({2: "rleu"}, "the nearest are relu"),
            ({4: "sift"}, "expected hog, uoctti or py:MODULE:FUNCTION"),
            ({6: "0"}, "steps is 0"),
            ({5: "--step", 6: "0"}, "step is 0.0"),
            ({5: "--tv", 6: "-1"}, "tv is -1.0"),
            ({5: "--alpha", 6: "-1"}, "alpha is -1.0"),
            ({5: "--beta", 6: "0"}, "beta is 0.0"),
            ({5: "--seeds", 6: "0"}, "seeds is 0"),
            ({5: "--decoders", 6: "none.safetensors"}, "there is no file"),
            ({0: "none.png"}, "none.png"),
            ({0: "no-picture.png"}, "no-picture.png"),
        ],
    ),
    "linear_probe": Case(
        lambda net, picture: convscope.linear_probe(
            net, "gallery", exclude=FEW, train=2, folds=2, layers=["relu"], classifiers=["svm"]
        ),
        ["gallery", "--train", "1", "--folds", "1", "--layers", "rectified", "--classifiers", "svm"]
        + [word for name in FEW for word in ("--exclude", name)],
        [
            ({0: "none"}, "none"),
            ({0: "PICTURE"}, "has no classes"),
            ({2: "0"}, "train is 0"),
            ({2: "3"}, "has 3 pictures, need 4"),
            ({4: "0"}, "folds is 0"),
            ({6: "rleu"}, "the nearest are relu"),
            ({8: "tree"}, "expected svm or softmax"),
            ({10: "unicorn"}, "no such file with a list"),
            ({3: "--test-cap", 4: "0"}, "test_cap is 0"),
        ],
    ),
    "maximize": Case(
        lambda net, picture: convscope.maximize(net, ["relu:3", "last:2@1,1", "rectified"], picture=picture, steps=2),
        ["relu:3", "--steps", "2", "--picture", "PICTURE"],
        [
            ({0: "rleu:3"}, "the nearest are relu"),
            ({0: "relu:99"}, "channels 0 to 5"),
            ({0: "rleu"}, "the nearest are relu"),
            ({2: "0"}, "steps is 0"),
            ({3: "--step", 4: "0"}, "step is 0.0"),
            ({3: "--l1", 4: "-1"}, "l1 is -1.0"),
            ({3: "--norm", 4: "3"}, "expected one of pixels"),
            ({3: "--start", 4: "class-mean"}, "needs images"),
            ({4: "none.png"}, "none.png"),
            ({4: "no-picture.png"}, "no-picture.png"),
        ],
    ),
    "net2vec": Case(
        lambda net, picture: convscope.net2vec(net, "drawn:32", layer="relu", names=["sky"], epochs=1, counts=[2]),
        ["drawn:32", "--layer", "relu", "--names", "sky", "--epochs", "2", "--counts", "1"],
        [
            ({0: "nowhere"}, "no such folder"),
            ({0: "drawn:8"}, "no concept has 10 pictures"),
            ({2: "rleu"}, "the nearest are relu"),
            ({4: "unicorn"}, "names is 'unicorn'"),
            ({6: "0"}, "epochs is 0"),
            ({8: "7"}, "counts is 7: expected 1 to 6"),
            ({7: "--held-out", 8: "1"}, "held_out is 1.0"),
            ({7: "--rate", 8: "-1"}, "rate is -1.0"),
        ],
    ),
    "occlude": Case(
        lambda net, picture: convscope.occlude(net, picture, size=9, stride=9, layer="relu", gallery=picture),
        ["PICTURE", "--size", "8", "--stride", "12", "--fill", "noise", "--gallery", "PICTURE"],
        [
            ({2: "0"}, "size is 0: expected at least 1 pixel"),
            ({2: "33"}, "the picture is 32 x 32"),
            ({4: "0"}, "stride is 0"),
            ({6: "red"}, "expected grey, mean"),
            ({5: "--mode", 6: "fast"}, "mode is 'fast'"),
            ({5: "--layer", 6: "rleu"}, "the nearest are relu"),
            ({5: "--target", 6: "cat"}, "gives no vector of scores"),
            ({8: "nowhere"}, "images is 'nowhere'"),
            ({0: "none.png"}, "none.png"),
            ({0: "no-picture.png"}, "no-picture.png"),
        ],
    ),
    "project": Case(
        lambda net, picture: convscope.project(net, picture, ["relu:3", "pool:2@1,1"]),
        ["PICTURE", "relu:3"],
        [
            ({1: "rleu:3"}, "the nearest are relu"),
            ({1: "relu:99"}, "channels 0 to 5"),
            ({1: "relu:3@99,0"}, "30 x 30"),
            ({1: "relu"}, "expected layer:channel"),
            ({0: "none.png"}, "none.png"),
            ({0: "no-picture.png"}, "no-picture.png"),
        ],
    ),
    "redundancy": Case(
        lambda net, picture: convscope.redundancy(net),
        ["--threshold", "0.9"],
        [
            ({1: "1.5"}, "threshold is 1.5"),
            ({0: "--layer", 1: "conv1"}, "the nearest are conv"),
            ({0: "--colour", 1: "red"}, "red"),
            ({0: "--pictures", 1: "none.npz"}, "none.npz holds no arrays"),
        ],
    ),
    "transfer": Case(
        lambda net, picture: convscope.transfer(net, "gallery", exclude=FEW, train=[1, 2], folds=2, layer="last"),
        [
            "gallery",
            "--train",
            "1",
            "--folds",
            "1",
            "--layer",
            "last",
            *(w for name in FEW for w in ("--exclude", name)),
        ],
        [
            ({0: "none"}, "none"),
            ({0: "PICTURE"}, "has no classes"),
            ({2: "0"}, "train is 0"),
            ({2: "3"}, "has 3 pictures, need 4"),
            ({4: "0"}, "folds is 0"),
            ({6: "rleu"}, "the nearest are relu"),
            ({8: "unicorn"}, "no such file with a list"),
            ({3: "--scratch", 4: "1"}, "cannot be trained from scratch"),
            ({3: "--scratch-folds", 4: "0"}, "scratch_folds is 0"),
        ],
    ),
}


def network() -> Network:
    """A network of two convolutions, left as a careless user leaves it: training, hooked, rectifying in place."""
    torch.manual_seed(0)
    module = nn.Sequential()
    module.add_module("conv", nn.Conv2d(3, 6, 3))
    module.add_module("relu", nn.ReLU(inplace=True))
    module.add_module("pool", nn.MaxPool2d(2))
    module.add_module("last", nn.Conv2d(6, 4, 3))
    module.add_module("rectified", nn.ReLU(inplace=True))
    module.get_submodule("conv").register_forward_hook(lambda *_: None)
    return Network(module.train(), (3, 32, 32), name="careless")
