"""Whatever folder a command is pointed at, and whenever it ends: no file of the user's is gone or changed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from convscope.cli import app, main
from convscope.experiments import EXPERIMENTS
from tests.census.foreign import COMMANDS, NOWHERE, census, furnish, plant, words

EVERY = [*COMMANDS, *EXPERIMENTS]
AGAIN = [name for name in COMMANDS if "train" not in name]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    here = Path.cwd()
    furnish(folder := tmp_path_factory.mktemp("desk"))
    yield folder
    os.chdir(here)


def test_every_command_is_here() -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert {name.split()[0].replace("_", "-") for name in EVERY} | NOWHERE == set(known)


@pytest.mark.parametrize("name", EVERY)
def test_a_folder_of_the_users_stays_as_it_is(name: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = desk / "mine"
    plant(mine)
    before = census(desk)
    capsys.readouterr()
    assert main([*words(name), "-o", "mine"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: out is 'mine': holds 'architecture.json' and ")
    assert said.err.endswith("; choose a new or an empty folder\n")
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert census(desk) == before


def test_the_current_folder_is_no_exception(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = census(desk)
    assert main([*words("project"), "-o", "."]) == 2
    assert "out is '.': holds " in capsys.readouterr().err
    assert census(desk) == before


@pytest.mark.parametrize("name", AGAIN)
def test_files_beside_ours_stay_when_a_command_runs_again(name: str, desk: Path) -> None:
    out = desk / "again" / name
    assert main([*words(name), "-o", str(out)]) == 0
    ours = census(out)
    mine = plant(out)
    assert len(mine) > 20
    assert main([*words(name), "-o", str(out)]) == 0
    assert census(out) == ours | mine


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes as Unix does")
def test_killed_at_random_moments_a_command_loses_nothing(tmp_path: Path) -> None:
    """In a process of its own, which forks: torch must have started no threads."""
    names = [*COMMANDS, "project", "redundancy", "activations"]
    command = [sys.executable, "-m", "tests.census.foreign", str(tmp_path), *names]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        command, cwd=root, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("spelling", [["-o", ""], ["--out="]])
def test_an_empty_out_is_no_folder(
    name: str, spelling: list[str], desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = census(desk)
    assert main([*words(name), *spelling]) == 2
    assert capsys.readouterr().err == "error: out is '': expected a value; is a variable not set?\n"
    assert census(desk) == before
