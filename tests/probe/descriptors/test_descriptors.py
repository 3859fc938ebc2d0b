"""Descriptors by name, by spelling, and as functions (METHODS I5)."""

from pathlib import Path

import pytest
import torch

from convscope.errors import ArgumentError, NetworkError
from convscope.probe.descriptors.descriptors import Descriptor, differentiable_descriptor
from convscope.probe.descriptors.hog import hog


def test_names_functions_and_spellings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(differentiable_descriptor("hog")(x), hog(x.mean(1, keepdim=True)))
    assert differentiable_descriptor("uoctti").drawn is not None
    (tmp_path / "my_descriptor.py").write_text("def means(values):\n    return values.mean((2, 3))\n")
    monkeypatch.chdir(tmp_path)
    found = differentiable_descriptor("py:my_descriptor:means")
    assert found.name == "means"
    assert found(x).shape == (2, 3)
    own = Descriptor("own", lambda values: values)
    assert differentiable_descriptor(own) is own


def test_mistakes() -> None:
    with pytest.raises(ArgumentError, match="expected hog, uoctti or py:MODULE:FUNCTION"):
        differentiable_descriptor("sift")
    with pytest.raises(ArgumentError, match=r"py:package\.module:function"):
        differentiable_descriptor("py:sift")
    with pytest.raises(NetworkError, match="could not be made: ModuleNotFoundError"):
        differentiable_descriptor("py:no_such_module:sift")
    with pytest.raises(NetworkError, match="gave no tensor with a row for each of 2 pictures"):
        differentiable_descriptor(lambda values: values.sum())(torch.rand(2, 3, 8, 8))
