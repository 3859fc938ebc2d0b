"""Pictures to measure on that take no room."""

import torch


class Noise:
    """Small synthetic pictures, made when asked for."""

    def __init__(self, count: int, side: int) -> None:
        self.count, self.side = count, side

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.rand(3, self.side, self.side, generator=torch.Generator().manual_seed(index))
