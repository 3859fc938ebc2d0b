"""Run a network once and look at the outputs of its layers on the way.

    outputs = run(module, inputs, ["relu1", "relu5"])              # {layer: tensor}
    reduced = run(module, inputs, {"relu5": lambda maps: maps.amax((2, 3))})

The forward pass ends after the last layer asked for. Hooks live only inside `run`. Knows nothing of pictures.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

from convscope.errors import LayerError, NetworkError

Result = TypeVar("Result")


class _Enough(Exception):  # noqa: N818  (not an error: the layers asked for have all been seen)
    pass


def split_call(layer: str) -> tuple[str, int | None]:
    """`name#k` as (name, k); a plain name as (name, None), which means its last call."""
    name, mark, call = layer.rpartition("#")
    return (name, int(call)) if mark and call.isdigit() else (layer, None)


def run(
    module: nn.Module,
    inputs: Tensor,
    layers: Iterable[str] | Mapping[str, Callable[[Tensor], Result]],
    *,
    times: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The outputs of `layers`, each passed through its reducer where `layers` maps names to functions.

    `inputs` (N, C, H, W) in network space; the layer "" is the module itself. A reducer sees the output the moment it
    is made, before a later operation can change it in place, and may keep less than the whole. `times` (how often each
    module is called, as a traced graph knows) lets the pass end after the last layer asked for. Raises LayerError for
    a name the module does not have, NetworkError when a layer was not reached or gave no tensor.
    """
    reducers = dict(layers) if isinstance(layers, Mapping) else dict.fromkeys(layers, Tensor.clone)
    modules = dict(module.named_modules())
    wanted: dict[str, dict[int | None, str]] = {}
    for layer in reducers:
        name, call = split_call(layer)
        if name not in modules:
            raise LayerError(layer, filter(None, modules))
        wanted.setdefault(name, {})[call] = layer
    results: dict[str, Any] = {}
    seen: Counter[str] = Counter()

    def look(name: str, output: object) -> None:
        call, last = seen[name], times is not None and seen[name] + 1 == times.get(name, 0 if name else 1)
        seen[name] += 1
        for key in (call, None):
            layer = wanted[name].get(key)
            if layer is None or (key is None and times is not None and not last):
                continue
            if not isinstance(output, Tensor):
                what = f"layer {layer!r}" if layer else "the network"
                raise NetworkError(f"{what} gives {type(output).__name__}, not one tensor")
            results[layer] = reducers[layer](output)
        if times is not None and len(results) == len(reducers):
            raise _Enough

    handles = [
        modules[name].register_forward_hook(lambda _m, _i, output, name=name: look(name, output)) for name in wanted
    ]
    try:
        module(inputs)
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    for layer in reducers:
        if layer not in results:
            raise NetworkError(f"layer {layer!r} was not reached in the forward pass")
    return results
