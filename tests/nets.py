"""Small networks for tests: every spelling of a rectifier, and random DAGs."""

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn


class Spelled(nn.Module):
    """Convolutions with rectifiers spelled `how`; `relu` (given a function) states the same net for the slow twin."""

    HOWS = ("module", "inplace", "functional", "torch", "method_", "reused", "built", "relu6", "leaky", "clamp")

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.c = nn.Conv2d(6, 5, 3)
        self.relu = nn.ReLU(inplace=how == "inplace")

    def rectifier(self, x: Tensor) -> Tensor:
        match self.how:
            case "functional":
                return F.relu(x)
            case "torch":
                return torch.relu(x)
            case "method_":
                x.relu_()
                return x
            case "built":
                return nn.ReLU()(x)
            case "relu6":
                return F.relu6(x * 0.1) * 10
            case "leaky":
                return F.leaky_relu(x, 0.0)
            case "clamp":
                return x.clamp(min=0)
            case _:
                return self.relu(x)

    def forward(self, x: Tensor, relu: object = None) -> Tensor:
        act = relu if callable(relu) else self.rectifier
        h = act(self.a(x))
        return act(self.c(F.max_pool2d(act(self.b(h)), 3, 2)))


class PreActivation(nn.Module):
    """A rectifier's input also feeds the skip: module hooks that replace gradients get it wrong."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.relu, self.inplace = nn.ReLU(), inplace

    def forward(self, x: Tensor, relu: object = None) -> Tensor:
        act = relu if callable(relu) else (F.relu if self.inplace else self.relu)
        h = self.stem(x)
        h = h + self.body(act(h))
        return act(h + self.body(act(h)))


class Dag(nn.Module):
    """A random graph of convolutions, pools, sums and concatenations, drawn by `dags`."""

    def __init__(self, steps: list[tuple[str, int, int, int, int]], seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.steps = steps
        self.layers, self.out = nn.ModuleList(), nn.Identity()
        width = 3
        for kind, k, s, p, _ in steps:
            if kind == "conv":
                self.layers.append(nn.Sequential(nn.Conv2d(width, 4, k, s, min(p, k // 2)), nn.ReLU()))
                width = 4
            elif kind == "pool":
                self.layers.append(nn.MaxPool2d(k, s, min(p, k // 2), ceil_mode=bool(k % 2)))
            elif kind == "average":
                self.layers.append(nn.AvgPool2d(k, s, min(p, k // 2)))
            elif kind == "residual":
                self.layers.append(nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1)))
            else:
                left, right = nn.Conv2d(width, 2, 1), nn.Conv2d(width, 3, 3, padding=1)
                self.layers.append(nn.ModuleList([left, right]))
                width = 5

    def forward(self, x: Tensor) -> Tensor:
        for (kind, *_), layer in zip(self.steps, self.layers, strict=True):
            if kind == "residual":
                x = x + layer(x)
            elif kind == "fork":
                x = torch.cat([F.relu(branch(x)) for branch in layer.children()], 1)
            else:
                x = layer(x)
        return self.out(x)


def dags() -> st.SearchStrategy[Dag]:
    step = st.tuples(
        st.sampled_from(["conv", "pool", "average", "residual", "fork"]),
        st.integers(2, 4),
        st.integers(1, 2),
        st.integers(0, 2),
        st.integers(0, 9),
    )
    return st.builds(Dag, st.lists(step, min_size=1, max_size=5), st.integers(0, 999)).map(lambda d: d.double().eval())
