import pytest
import torch
from torch import nn

from convscope.errors import LayerError, NetworkError
from convscope.probe.trace.record import run
from tests.nets import Spelled


def test_outputs_are_those_of_the_layers_even_when_overwritten_later() -> None:
    net, x = Spelled("inplace").eval(), torch.randn(2, 3, 9, 9)
    with torch.no_grad():
        found = run(net, x, ["a", "relu#0", "relu", "c"])
        torch.testing.assert_close(found["a"], net.a(x))
        torch.testing.assert_close(found["relu#0"], net.a(x).relu())
        torch.testing.assert_close(found["relu"], net(x))
    assert not any(m._forward_hooks for m in net.modules())


def test_the_module_itself_has_no_name() -> None:
    net, x = Spelled("module").eval(), torch.randn(2, 3, 9, 9)
    with torch.no_grad():
        for times in (None, {"a": 1}):
            found = run(net, x, ["a", ""], times=times)
            torch.testing.assert_close(found[""], net(x))


def test_the_pass_ends_after_the_last_layer_asked_for() -> None:
    net, reached = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)), []
    net[2].register_forward_hook(lambda *_: reached.append(2))
    x = torch.zeros(1, 3, 9, 9)
    found = run(net, x, {"1": lambda maps: maps.amax((2, 3))}, times={"0": 1, "1": 1, "2": 1})
    assert found["1"].shape == (1, 4)
    assert not reached


def test_hooks_go_even_when_the_network_fails() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(5, 4, 3))
    with pytest.raises(RuntimeError):
        run(net, torch.zeros(1, 3, 9, 9), ["1"])
    assert not any(m._forward_hooks for m in net.modules())


def test_layers_that_are_not_there_not_reached_or_no_tensor() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.MaxPool2d(2, return_indices=True), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)[0]

    x = torch.zeros(1, 3, 4, 4)
    with pytest.raises(LayerError, match="nearest are used"):
        run(Odd(), x, ["usd"])
    with pytest.raises(NetworkError, match="not reached"):
        run(Odd(), x, ["unused"])
    with pytest.raises(NetworkError, match="not one tensor"):
        run(Odd(), x, ["used"])
