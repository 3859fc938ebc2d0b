import pytest

from convscope.errors import ArgumentError, UnitError
from convscope.probe.trace.address import Unit, parse


@pytest.mark.parametrize("text", ["relu5:42", "relu5:42@6,7", "relu5:42@*", "layer1.0.relu#1:3", "a.b:0@0,0"])
def test_units_print_as_they_are_written(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize("text", ["relu5", "relu5:", "relu5:x", "relu5:1@", "relu5:1@2", "relu5:-1", "relu5:1@1,2,3"])
def test_what_is_no_unit_is_said_in_the_users_words(text: str) -> None:
    with pytest.raises(ArgumentError, match=text.replace("*", r"\*")):
        parse(text)


def test_channels_and_positions_are_checked_against_the_layer() -> None:
    Unit("a", 3, (1, 2)).check((1, 4, 2, 3))
    Unit("fc", 3, (0, 0)).check((1, 4))
    for unit in (Unit("a", 4), Unit("a", 0, (2, 0)), Unit("a", 0, (0, 3)), Unit("a", 0, (1, 1))):
        with pytest.raises(UnitError):
            unit.check((1, 4, 2, 3) if unit.position != (1, 1) else (1, 4))
