"""Weights of ours on disk: a safetensors file of tensors under a header of words.

store(path, json.dumps(header), module.state_dict())
header, tensors = stored(path, "weights")
load_state(module, tensors, str(path))
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from convscope.disk.atomic import put
from convscope.disk.paths import utf8_path
from convscope.errors import WeightsError

HEADER = "convscope"


def store(path: str | Path, header: str, tensors: Mapping[str, Tensor]) -> None:
    """Write the tensors under a header in JSON; nothing half-written is left behind."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    put(Path(path), save(plain, {HEADER: header}))  # not `save_file`, whose files only their owner can read


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floats in half precision, but for single numbers."""
    return {
        k: tensor.half() if tensor.dim() and tensor.is_floating_point() else tensor for k, tensor in tensors.items()
    }


def stored(path: str | Path, what: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header, {} in a file that is none of ours, and the tensors of a safetensors file.

    Raises WeightsError, which names `what` was looked for.
    """
    try:
        with utf8_path(path) as spelled, safe_open(spelled, "pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise WeightsError(f"{what}: there is no file {str(path)!r}") from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{what}: {str(path)!r} is no safetensors file ({error})") from error


def header(path: str | Path) -> dict[str, Any]:
    """Return the header of a file that `store` wrote, {} for any other file."""
    try:
        with safe_open(path, "pt") as file:
            return dict(json.loads((file.metadata() or {}).get(HEADER, "{}")))
    except (SafetensorError, OSError, ValueError, TypeError):
        return {}


def load_state(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy `tensors` into `module`, in the module's dtype. Raises WeightsError naming keys and shapes that differ."""
    expected = module.state_dict()
    wrong = [f"{k} is missing" for k in expected if k not in tensors]
    wrong += [f"{k} is not in the network" for k in tensors if k not in expected]
    wrong += [
        f"{k} is {_shape(tensors[k])} where the network has {_shape(expected[k])}"
        for k in expected
        if k in tensors and tensors[k].shape != expected[k].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise WeightsError(f"weights: {source!r} is of another architecture: {'; '.join(wrong[:4])}{more}")
    module.load_state_dict({k: v.to(expected[k].dtype) for k, v in tensors.items()})


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
