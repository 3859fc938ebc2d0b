"""Where computation runs and in which precision: CPU, CUDA or MPS, autocast on request, seeds that leave no trace."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from convscope.errors import ArgumentError

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
AUTOCAST |= {"bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve(device: str | torch.device | None = None) -> torch.device:
    """The device named, or the best there is for None and "auto". Raises ArgumentError when it is not here."""
    if isinstance(device, torch.device):
        return device
    if device in (None, "auto"):
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(str(device))
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ArgumentError(
            "device", device, 'expected "auto", "cpu", "cuda", "cuda:N" or "mps", present here'
        ) from error
    return chosen


def autocast(device: torch.device, dtype: str | None = None) -> AbstractContextManager[object]:
    """Compute in bf16 or fp16 where asked; None and "float32" leave the network's own precision."""
    if dtype in (None, "float32"):
        return nullcontext()
    if dtype not in AUTOCAST:
        raise ArgumentError("dtype", dtype, f"expected float32 or one of {', '.join(AUTOCAST)}")
    return torch.autocast(device.type, AUTOCAST[str(dtype)])


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Seed torch's generators inside the block, restore them after it; yields a CPU generator of the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)
