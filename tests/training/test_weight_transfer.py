from typing import Any

import pytest
import torch

from convscope.models import variants
from convscope.training.weight_transfer import carry_over
from tests.training.toys import TINY


def build(architecture: dict[str, Any]) -> Any:
    """A network whose layers are attributes."""
    return variants.build(architecture)


def test_everything_that_fits_is_carried_over() -> None:
    old, new = build({**TINY, "classes": 4}), build({**TINY, "classes": 3})
    assert carry_over(new, old.state_dict()) == ["fc8.weight", "fc8.bias"]
    assert torch.equal(new.conv3.weight, old.conv3.weight)
    assert torch.equal(new.fc6.weight, old.fc6.weight)


@pytest.mark.parametrize(("small", "large"), [(48, 128), (48, 96), (96, 160)])
def test_fc6_spreads_to_another_size_and_answers_constant_maps_alike(small: int, large: int) -> None:
    old = build({**TINY, "side": small, "classes": 3})
    new = build({**TINY, "side": large, "classes": 3})
    assert carry_over(new, old.state_dict()) == []
    levels = torch.randn(2, 6, 1, 1)
    one, other = (
        network.fc6(levels.expand(-1, -1, extent, extent).flatten(1))
        for network, extent in ((old, old.extent(small)), (new, new.extent(large)))
    )
    assert torch.allclose(one, other, atol=1e-5)


def test_spreading_keeps_the_places_of_the_kernel() -> None:
    old, new = build({**TINY, "side": 96, "classes": 3}), build({**TINY, "side": 160, "classes": 3})
    assert (old.extent(96), new.extent(160)) == (2, 4)
    carry_over(new, old.state_dict())
    kernel = old.fc6.weight.reshape(8, 6, 2, 2)
    spread = new.fc6.weight.reshape(8, 6, 4, 4)
    assert torch.allclose(spread[..., :2, 2:], kernel[..., :1, 1:].expand(-1, -1, 2, 2) / 4)


def test_other_widths_start_afresh() -> None:
    old, new = build({**TINY, "classes": 3}), build({**TINY, "fc": (9, 8), "classes": 3})
    assert carry_over(new, old.state_dict()) == ["fc6.weight", "fc6.bias", "fc7.weight"]
