"""The user's own code: how it is spelled, and what it may not do when it is imported."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from convscope.errors import ArgumentError, NetworkError
from convscope.user_code import imported, running

MODEL = "from beside import N\n\ndef net():\n    return N\n\nclass Net:\n    pass\n"
MODELS = {"first_model": "", "second_model": "deep/er", "third_model": "me@work", "odd-name": ""}  # in which folder
SCRIPTS = {
    "exits": ("import sys\nsys.exit('no GPU')\n", "ends the program: no GPU (exits.py, line 2)"),
    "ends": ("raise SystemExit\n", "ends the program: exit code 0 (ends.py, line 1)"),
    "fails": ("import sys\n\nsys.exit(3)\n", "ends the program: exit code 3 (fails.py, line 3)"),
    "parses": (
        "from argparse import ArgumentParser\n"
        "parser = ArgumentParser()\nparser.add_argument('--data', required=True)\nparser.parse_args()\n",
        "ends the program: the following arguments are required: --data (parses.py, line 4)",
    ),
    "trains": (
        "import torch\n"
        "weight = torch.ones(3, requires_grad=True)\noptimizer = torch.optim.Adam([weight])\n"
        "for epoch in range(3):\n    weight.sum().backward()\n    optimizer.step()\n",
        "trains when it is imported",
    ),
}
OTHERS = ("beside", "deep", "parses_few", "broken")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with modules of the user's, which is the current one."""
    for name, folder in MODELS.items():
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / f"{name}.py").write_text(MODEL)
        (tmp_path / folder / "beside.py").write_text("N = 4\n")
    for name, (text, _) in SCRIPTS.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    path, argv = list(sys.path), list(sys.argv)
    yield tmp_path
    assert (sys.path, sys.argv) == (path, argv)
    for name in [name for name in sys.modules if name.split(".")[0] in (*MODELS, *SCRIPTS, *OTHERS)]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "module",
    [
        "first_model",
        "first_model.py",
        "./first_model.py",
        "deep.er.second_model",
        "deep/er/second_model",
        "deep/er/second_model.py",
        "deep\\er\\second_model.py",
        "./deep/../first_model.py",
        "me@work/third_model.py",
        "odd-name.py",
        "ABSOLUTE/deep/er/second_model.py",
        "~/me@work/third_model.py",
    ],
)
def test_modules_and_files_are_imported_with_their_neighbours(
    here: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here))
    (here / "beside.py").unlink() if "me@work" in module else None
    assert imported(f"py:{module.replace('ABSOLUTE', str(here))}:net", "network")() == 4


@pytest.mark.parametrize(
    ("spelling", "words"),
    [
        ("py:first_model", "expected \"py:package.module:function\", as 'py:first_model:FUNCTION'"),
        ("py:first_model.py", "as 'py:first_model.py:FUNCTION'"),
        ("py:deep.er.second_model.Net", "as 'py:deep.er.second_model:Net'"),
        ("py:", 'expected "py:package.module:function"'),
        ("py::Net", 'expected "py:package.module:function"'),
        ("py:first_model:", "as 'py:first_model:FUNCTION'"),
        ("first_model:Net", 'expected "py:package.module:function"'),
        ("py:deep/model.py:Net", "there is no file 'deep/model.py' here"),
        ("py:first_model:nett", "has no 'nett'; did you mean 'py:first_model:net'"),
        ("py:first_model:build", "has no 'build'; it has N, net, Net"),
    ],
)
def test_spellings_of_nothing_say_what_was_probably_meant(here: Path, spelling: str, words: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(words)) as caught:
        imported(spelling, "network")
    assert str(caught.value).startswith(f"network is {spelling!r}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_say_that_they_are_scripts_in_one_line(
    here: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for spelling in (f"py:{name}:net", f"py:{name}.py:net"):
        with pytest.raises(NetworkError, match=re.escape(f"descriptor {spelling!r} {SCRIPTS[name][1]}")) as caught:
            imported(spelling, "descriptor")
        assert str(caught.value).endswith('; put what runs as a script under if __name__ == "__main__"')
        assert "\n" not in str(caught.value)
    assert capsys.readouterr() == ("", "")


def test_a_module_that_parses_arguments_finds_none_of_ours(here: Path) -> None:
    sys.argv[1:1] = ["--depth", "9"]
    (here / "parses_few.py").write_text(
        "from argparse import ArgumentParser\nparser = ArgumentParser()\n"
        "parser.add_argument('--depth', default=3, type=int)\ndepth = parser.parse_args().depth\n"
    )
    try:
        assert imported("py:parses_few:depth", "network") == 3
    finally:
        del sys.argv[1:3]


def test_training_is_stopped_at_its_first_step_and_allowed_again(here: Path) -> None:
    import torch

    weight = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], 0.5)
    with pytest.raises(NetworkError, match="trains"):
        imported("py:trains:net", "network")
    weight.sum().backward()
    optimizer.step()
    assert weight.item() == 0.5


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("no disk\nfor you"), "could not be made: OSError: no disk"),
        (RuntimeError(), "could not be made: RuntimeError: no reason given"),
        (SystemExit(1), "ends the program: exit code 1"),
    ],
)
def test_whatever_the_code_raises_is_one_line(error: BaseException, words: str) -> None:
    with pytest.raises(NetworkError, match=f"^network 'py:a:b' {words}") as caught, running("py:a:b", "network"):
        raise error
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


def test_errors_of_our_own_and_interrupts_pass() -> None:
    for error in (ArgumentError("size", 3, "expected less"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, running("py:a:b", "network"):
            raise error
        assert caught.value is error


def test_the_line_is_that_of_the_users_code(here: Path) -> None:
    (here / "broken.py").write_text("import json\n\ndef net():\n    return json.loads('{')\n")
    net = imported("py:broken:net", "network")
    with (
        pytest.raises(NetworkError, match=r"JSONDecodeError: .* \(broken\.py, line 4\)$"),
        running("py:broken:net", "network"),
    ):
        net()
