import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import LayerError, NetworkError
from convscope.probe.trace.graph import trace
from tests.nets import Spelled


def ops(module: nn.Module, x: Tensor) -> list[str]:
    return [node.op for node in trace(module.eval(), x)[0].nodes[1:]]


@pytest.mark.parametrize("how", [h for h in Spelled.HOWS if h not in ("relu6", "leaky", "clamp")])
def test_one_name_for_every_spelling(how: str) -> None:
    expected = ["conv2d", "relu", "conv2d", "relu", "max_pool2d", "conv2d", "relu"]
    assert ops(Spelled(how), torch.zeros(1, 3, 9, 9)) == expected


def test_modules_called_twice_have_a_tap_a_call_and_the_plain_name_is_the_last() -> None:
    graph, _ = trace(Spelled("reused").eval(), torch.zeros(1, 3, 9, 9))
    assert [name for name in graph.taps if name.startswith("relu")] == ["relu#0", "relu#1", "relu#2"]
    assert graph.node("relu") is graph.node("relu#2")
    assert graph.node("a").op == "conv2d"
    with pytest.raises(LayerError, match="'rellu': no such layer; the nearest are relu#"):
        graph.node("rellu")


@pytest.mark.parametrize("how", ["inplace", "method_"])
def test_kept_outputs_are_as_they_were_made(how: str) -> None:
    net, x = Spelled(how).eval(), torch.randn(1, 3, 9, 9)
    graph, kept = trace(net, x, keep={0, 1, 2})
    with torch.no_grad():
        torch.testing.assert_close(kept[1], net.a(x))
        torch.testing.assert_close(kept[2], F.relu(net.a(x)))
    assert len(graph.nodes) == 3  # nothing was computed beyond what was asked for


class Writes(nn.Module):
    def __init__(self, through: str) -> None:
        super().__init__()
        self.through, self.conv = through, nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        part = h[:, :2]
        if self.through == "view":
            part.mul_(2)
            return h + 1
        if self.through == "base":
            h.mul_(2)
            return part + 1
        return part.mul_(2) + 1


@pytest.mark.parametrize(("through", "aliased"), [("view", True), ("base", True), ("own", False)])
def test_writing_through_an_alias_is_noticed(through: str, aliased: bool) -> None:
    assert trace(Writes(through).eval(), torch.zeros(1, 3, 4, 4))[0].aliased is aliased


def test_nodes_can_be_evaluated_again() -> None:
    net, x = Spelled("inplace").double().eval(), torch.randn(1, 3, 9, 9, dtype=torch.float64)
    graph, _ = trace(net, x)
    values = {0: x}
    for node in graph.nodes[1:]:
        values[node.index] = node(values)
    with torch.no_grad():
        torch.testing.assert_close(values[len(values) - 1], net(x))


def test_a_failing_network_is_one_line() -> None:
    with pytest.raises(NetworkError, match="the network fails on a 5x9x9 picture") as caught:
        trace(Spelled("module").eval(), torch.zeros(1, 5, 9, 9))
    assert "\n" not in str(caught.value)
