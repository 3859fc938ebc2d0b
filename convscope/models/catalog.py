"""`load`: one spelling for every network there is to look at.

- "zfnet128": bundled
- "torchvision:vgg16": its published weights, downloaded by torchvision on first use
- "torchvision:vgg16@random": random weights, the same at every load
- "torchvision:vgg16@weights.pth": a state dict from disk
- "keras:vgg16@vgg16.npz": VGG16 as Keras has it (METHODS M7)
- "timm:resnet18.a1_in1k": with the extra convscope[timm]
- "model.safetensors": written by `train`
- "py:package.module:function": what your function returns, a Network or a module

Weights are read as safetensors or with `weights_only=True`; nothing unpickles a file somebody sent.
"""

import pickle
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn

from convscope.device import seeded
from convscope.errors import ArgumentError, NetworkError, WeightsError
from convscope.models.network import Network, read
from convscope.models.variants import build
from convscope.models.vgg16 import vgg16
from convscope.models.weight_files import load_state, stored
from convscope.user_code import from_here, function

ASSETS = Path(__file__).parent.parent / "assets"
SPELLINGS = (
    '"zfnet128", "torchvision:NAME" or "timm:NAME" (either with @random or @FILE), '
    '"FILE.safetensors" or "py:MODULE:FUNCTION"'
)


def bundled() -> list[str]:
    """Names of the networks that come with the package."""
    return sorted(path.stem for path in ASSETS.glob("*.safetensors"))


def load(network: str | Network) -> Network:
    """The network of a spelling (see the module's docstring); a `Network` is returned as it is.

    Raises ArgumentError for a spelling that names nothing, WeightsError for weights that are missing, unreadable or of
    another architecture (which keys, which shapes) or not finite, NetworkError when user code or a download fails.
    """
    if isinstance(network, Network):
        return network
    kind, colon, rest = network.partition(":")
    if network in bundled():
        found = read(ASSETS / f"{network}.safetensors", build)
    elif network.endswith(".safetensors") and "@" not in network:
        found = read(network, build)
    elif colon and kind in LOADERS:
        name, _, weights = rest.partition("@")
        found = LOADERS[kind](name, weights or None)
    else:
        near = get_close_matches(network, bundled(), n=1)
        hint = f"; did you mean {near[0]!r}" if near else ""
        raise ArgumentError("network", network, f"expected {SPELLINGS}{hint}")
    found.spec = network
    return found


def _torchvision(name: str, weights: str | None) -> Network:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise ArgumentError("network", f"torchvision:{name}", f"no such model; the nearest are {_near(name, known)}")
    published = models.get_model_weights(name).DEFAULT
    make = lambda pretrained: models.get_model(name, weights=published if pretrained else None, **_quiet(name))  # noqa: E731
    module = _weighted(make, weights, f"torchvision:{name}")
    recipe = published.transforms()
    side = recipe.crop_size[0]
    return Network(
        module,
        (3, side, side),
        recipe.mean,
        recipe.std,
        published.meta["categories"],
        name,
        max(side, recipe.resize_size[0]),
    )


def _quiet(name: str) -> dict[str, Any]:
    """GoogLeNet and Inception warn that their default initialisation is slow; their auxiliary heads are not for us."""
    return {"init_weights": True} if name in {"googlenet", "inception_v3"} else {}


def _timm(name: str, weights: str | None) -> Network:
    try:
        import timm
    except ImportError as error:
        raise ArgumentError("network", f"timm:{name}", "needs the extra: pip install 'convscope[timm]'") from error
    if not timm.is_model(name.partition(".")[0]):
        near = _near(name, timm.list_models())
        raise ArgumentError("network", f"timm:{name}", f"no such model; the nearest are {near}")
    module = _weighted(lambda pretrained: timm.create_model(name, pretrained=pretrained), weights, f"timm:{name}")
    recipe = timm.data.resolve_model_data_config(module)  # type: ignore[attr-defined, no-untyped-call]
    size = recipe["input_size"]
    resize = round(min(size[1:]) / recipe["crop_pct"])
    return Network(module, size, recipe["mean"], recipe["std"], None, name, resize)


def _python(where: str, weights: str | None) -> Network:
    spelling = f"py:{where}"
    if weights:
        raise ArgumentError("network", spelling, 'expected "py:package.module:function"')
    try:
        with from_here():
            function_name, made = where.rpartition(":")[2], function(spelling, "network")()
    except ArgumentError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NetworkError(f"network {spelling!r} could not be made: {type(error).__name__}: {reason}") from error
    if isinstance(made, nn.Module):
        made = Network(made, name=function_name)
    if not isinstance(made, Network):
        raise ArgumentError("network", spelling, f"expected a Network or a torch.nn.Module, got {type(made).__name__}")
    return made


def _keras(name: str, weights: str | None) -> Network:
    if name != "vgg16":
        raise ArgumentError("network", f"keras:{name}", "expected vgg16, the only one of Keras' here")
    return vgg16(weights)


LOADERS: dict[str, Callable[[str, str | None], Network]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "keras": _keras,
    "py": _python,
}


def _near(name: str, known: list[str]) -> str:
    return ", ".join(get_close_matches(name, known, n=3, cutoff=0.4) or known[:3])


def _weighted(make: Callable[[bool], nn.Module], weights: str | None, name: str) -> nn.Module:
    """A module with published weights (None), random ones that are always the same, or those of a file."""
    if weights is None:
        try:
            return make(True)
        except (URLError, OSError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise NetworkError(
                f"the weights of {name!r} could not be downloaded ({reason}); "
                f"give a file with {name}@FILE, or {name}@random for random weights"
            ) from error
    with seeded(0):
        module = make(False)
    if weights != "random":
        load_state(module, _state(weights), weights)
    return module


def _state(path: str) -> dict[str, Tensor]:
    if path.endswith(".safetensors"):
        return stored(path, "weights")[1]
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"weights: there is no file {path!r}") from error
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(f"weights: {path!r} cannot be read as a plain state dict") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"weights: {path!r} holds no state dict of tensors")
    return state
