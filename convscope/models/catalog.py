"""`load`: one spelling for every network there is to look at.

- "zfnet128": bundled
- "torchvision:vgg16": its published weights, downloaded by torchvision on first use
- "torchvision:vgg16@random": random weights, the same at every load
- "torchvision:vgg16@weights.pth": a state dict from disk
- "keras:vgg16@vgg16.npz": VGG16 as Keras has it (METHODS M7)
- "timm:resnet18.a1_in1k": with the extra convscope[timm]
- "model.safetensors": written by `train`
- "py:package.module:function": what your function returns, a Network or a module
- "py:folder/file.py:Net": the same of a file; a class without arguments, or a module, will do

Weights are read as safetensors or with `weights_only=True`; nothing unpickles a file somebody sent.
"""

import inspect
import os
import pickle
import re
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
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
from convscope.user_code import imported, running

ASSETS = Path(__file__).parent.parent / "assets"
SPELLINGS = (
    '"zfnet128", "torchvision:NAME" or "timm:NAME" (either with @random or @FILE), '
    '"FILE.safetensors" or "py:MODULE:FUNCTION"'
)


def bundled() -> list[str]:
    """Names of the networks that come with the package."""
    return sorted(path.stem for path in ASSETS.glob("*.safetensors"))


def load(network: str | Path | Network) -> Network:
    """The network of a spelling (see the module's docstring); a `Network` is returned as it is.

    Raises ArgumentError for a spelling that names nothing, WeightsError for weights that are missing, unreadable or of
    another architecture (which keys, which shapes) or not finite, NetworkError when user code or a download fails.
    """
    if isinstance(network, Network):
        return network
    if isinstance(network, nn.Module):
        fix = "wrap it in Network(module, input_size=(3, 224, 224), mean=…, std=…)"
        raise ArgumentError("network", type(network).__name__, f"a module without its input; {fix}")
    network = os.fspath(network)
    kind, colon, rest = network.partition(":")
    if network in bundled():
        found = read(ASSETS / f"{network}.safetensors", build)
    elif colon and kind == "py":
        found = _python(network)
    elif colon and kind in LOADERS:
        name, _, weights = rest.partition("@")
        found = LOADERS[kind](name, str(Path(weights).expanduser()) if weights else None)
    elif network.endswith(".safetensors"):
        found = read(Path(network).expanduser(), build)
    else:
        raise ArgumentError("network", network, f"expected {SPELLINGS}{_meant(network)}")
    found.spec = network
    return found


def _meant(network: str) -> str:
    """The spelling that was probably meant, at the end of an error."""
    base, at, weights = network.partition("@")
    module = base.partition(":")[0]
    if Path(network).suffix in (".pt", ".pth", ".ckpt", ".bin", ".h5", ".onnx"):
        return f"; a file of weights goes with a network, as torchvision:NAME@{network}"
    if module.endswith(".py") or (":" in base and Path(*module.split(".")).with_suffix(".py").is_file()):
        return f"; did you mean {f'py:{base}' if ':' in base else f'py:{base}:FUNCTION'!r}"
    name = re.split(r"[/:]|models\.", base)[-1]
    if name.lower() not in _models() and find_spec("timm") and import_module("timm").is_model(name.partition(".")[0]):
        return f"; did you mean {f'timm:{name}{at}{weights}'!r}"
    near = get_close_matches(name.lower(), [*_models(), *bundled()], n=1)
    if not near:
        return ""
    meant = near[0] if near[0] in bundled() else f"torchvision:{near[0]}{at}{weights}"
    return f"; did you mean {meant!r}"


def _models() -> list[str]:
    """torchvision's classifiers."""
    from torchvision import models

    return list(models.list_models(module=models))


def _torchvision(name: str, weights: str | None) -> Network:
    from torchvision import models

    known = _models()
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


def _python(spelling: str) -> Network:
    found = imported(spelling, "network")
    if callable(found) and not isinstance(found, nn.Module | Network):
        _require_no_arguments(found, spelling)
        with running(spelling, "network"):
            found = found()
    if isinstance(found, nn.Module):
        found = Network(found, name=spelling.rpartition(":")[2])
    if not isinstance(found, Network):
        raise ArgumentError("network", spelling, f"expected a Network or a torch.nn.Module, got {type(found).__name__}")
    return found


def _require_no_arguments(function: Callable[..., Any], spelling: str) -> None:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        fix = "name a function without arguments that returns the network"
        raise ArgumentError("network", spelling, f"{error}; {fix}") from error
    except ValueError:  # written in C, without a signature
        pass


def _keras(name: str, weights: str | None) -> Network:
    if name != "vgg16":
        raise ArgumentError("network", f"keras:{name}", "expected vgg16, the only one of Keras' here")
    return vgg16(weights)


LOADERS: dict[str, Callable[[str, str | None], Network]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "keras": _keras,
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
