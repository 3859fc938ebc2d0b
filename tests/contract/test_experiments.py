"""What every experiment promises: the same result for the same seed, the network left as it was, mistakes in one line,
a result in its schema, a page that documents it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from convscope.cli import main
from convscope.disk import results
from convscope.experiments import EXPERIMENTS
from convscope.models import snapshots
from tests.contract.cases import CASES, network

ROOT = Path(__file__).parents[2]
NETWORK = "py:tests.contract.cases:network"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    (tmp_path / "no-picture.png").write_text("words")
    for epoch in (1, 2):
        snapshots.write(network(), tmp_path / "run", epoch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(name: str, replaced: dict[int, str] | None = None) -> list[str]:
    arguments = [(replaced or {}).get(place, word) for place, word in enumerate(CASES[name].arguments)]
    spelled = [word.replace("PICTURE", "picture.png").replace("RUN", "run") for word in arguments]
    return [name.replace("_", "-"), *([NETWORK] if CASES[name].network else []), *spelled]


def state(module: nn.Module) -> dict[str, Any]:
    """Everything of a module that an experiment might have changed."""
    return {
        "weights": {name: tensor.clone().numpy().tobytes() for name, tensor in module.state_dict().items()},
        "gradients": {name: (p.requires_grad, p.grad) for name, p in module.named_parameters()},
        "modules": [(name, type(child), child.training) for name, child in module.named_modules()],
        "inplace": [child.inplace for child in module.modules() if hasattr(child, "inplace")],
        "hooks": [
            (len(child._forward_hooks), len(child._forward_pre_hooks), len(child._backward_hooks))
            for child in module.modules()
        ],
    }


def test_every_experiment_has_a_case() -> None:
    assert set(CASES) == set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_module_is_named_after_its_function(name: str) -> None:
    module = __import__(EXPERIMENTS[name], fromlist=[name])
    assert EXPERIMENTS[name] == f"convscope.experiments.{name}"
    assert callable(getattr(module, name))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_same_command_gives_the_same_bytes(name: str, desk: Path) -> None:
    for out in ("first", "second"):
        assert main([*command(name), "-o", out, "--quiet"]) == 0
    files = sorted(file.name for file in (desk / "first").iterdir() if file.is_file())
    assert "result.json" in files
    assert "figure.png" in files
    for file in files:
        assert (desk / "first" / file).read_bytes() == (desk / "second" / file).read_bytes(), file


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_result_is_in_its_schema(name: str, desk: Path) -> None:
    assert main([*command(name), "-o", "out"]) == 0
    result = results.read(desk / "out")
    assert result.experiment == name
    assert result.network["name"] == CASES[name].named
    assert result.rows


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_network_is_left_as_it_was(name: str, desk: Path) -> None:
    net = network()
    before = state(net.module)
    CASES[name].run(net, desk / "picture.png")
    assert state(net.module) == before


MISTAKES = [(name, replaced, word) for name in EXPERIMENTS for replaced, word in CASES[name].mistakes]


@pytest.mark.parametrize(("name", "replaced", "word"), MISTAKES)
def test_a_mistake_is_one_line(
    name: str, replaced: dict[int, str], word: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command(name, replaced), "-o", "out"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert word in said.err
    assert not (desk / "out").exists()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_its_docstring_cites_its_method(name: str) -> None:
    module = __import__(EXPERIMENTS[name], fromlist=[name])
    assert "METHODS" in (getattr(module, name).__doc__ or "")
