"""The command line as its users meet it: quick help, mistakes in one line, what was skipped, nothing else on stderr."""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from safetensors.torch import load_file, save_file

from convscope.cli import app, main
from convscope.experiments import EXPERIMENTS
from convscope.models.network import Network, save
from convscope.models.variants import build

ARCHITECTURE = {"base": "zfnet", "side": 64, "maps": (4, 4, 4, 4, 4), "fc": (8, 8), "classes": 2}


def network(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return Network(build(ARCHITECTURE), (3, 64, 64), name="tiny", classes=["a", "b"])


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network and a few pictures in two classes."""
    generator = np.random.default_rng(0)
    for number in range(6):
        folder = tmp_path / "pictures" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    save(network(), tmp_path / "net.safetensors", ARCHITECTURE, {})
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Said:
    """What a command printed, and its exit code."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, line: str) -> tuple[int, str, str]:
        self.capsys.readouterr()
        code = main(line.split())
        captured = self.capsys.readouterr()
        return code, captured.out, captured.err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(capsys)


def processor_time(arguments: list[str]) -> float:
    """Seconds of processor time that Python takes for the arguments."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("command", [[], ["atlas"], ["maximize"]])
def test_help_takes_little_longer_than_an_import_of_typer(command: list[str]) -> None:
    """In multiples of an import of typer, since other work on the machine slows both down alike."""
    typer_alone, help_alone = (
        min(processor_time(arguments) for _ in range(3))
        for arguments in (["-c", "import typer"], ["-m", "convscope.cli", *command, "--help"])
    )
    assert help_alone < 3 * typer_alone


def test_the_help_of_every_command_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'PIL', 'matplotlib', 'scipy', 'pyarrow', 'fastapi', 'lightning'}"
    code = (
        "import sys, typer; from convscope.cli import app, main; "
        "codes = {main([name, '--help']) for name in typer.main.get_command(app).commands}; "
        f"print('imported', *codes, *({heavy} & {{*sys.modules}}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "imported 0"
    assert run.stdout.count("Usage: convscope") == len(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_every_experiment_has_its_command() -> None:
    names = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert {name.replace("_", "-") for name in EXPERIMENTS} <= names
    assert not any("_" in name for name in names)


def test_without_a_command_there_is_help(run: Said) -> None:
    code, out, err = run("")
    assert (code, err) == (0, "")
    assert "Commands:" in out
    assert run("--version")[1].strip()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("atlsa net.safetensors pictures", "No such command 'atlsa'"),
        ("atlas net.safetensors", "Missing argument 'IMAGES'"),
        ("atlas net.safetensors pictures --colour", "No such option: --colour"),
        ("atlas net.safetensors pictures --top 0", "--top"),
        ("atlas zfnet182 pictures", "did you mean 'zfnet128'"),
        ("atlas none.safetensors pictures", "none.safetensors"),
        ("atlas py:nowhere:at_all pictures", "No module named 'nowhere'"),
        ("atlas net.safetensors pictures --layers relu9", "no such layer; the nearest are relu"),
        ("atlas net.safetensors nowhere", "no such folder or file"),
        ("atlas net.safetensors empty", "no pictures in empty"),
        ("atlas net.safetensors pictures --score median", "expected one of max, mean, sum"),
        ("atlas net.safetensors pictures --device tpu", "expected \"auto\""),
        ("atlas net.safetensors pictures --dtype int3", "expected float32"),
        ("atlas net.safetensors pictures --shard 4/4", "I from 0 to N - 1"),
        ("report pictures", "no atlas"),
        ("project net.safetensors words.png relu1:0", "words.png"),
        ("project net.safetensors pictures/a/0.png relu1:4", "channels 0 to 3"),
        ("project net.safetensors pictures/a/0.png relu1:0@30,30", "30 x 30"),
        ("project net.safetensors pictures/a/0.png relu1:0 --rule best", "expected one of deconvnet"),
        ("project net.safetensors pictures/a/0.png relu1:0 --unpool bed", "expected one of switch"),
        ("evaluate net.safetensors flat", "no classes"),
        ("train pictures --set lr", "expected NAME=VALUE"),
        ("train pictures --snapshots 1,two", "expected whole numbers"),
        ("train pictures --architecture resnet", "expected one of"),
        ("train pictures --per-class 9", "pictures"),
        ("schematics net.safetensors --picture words.png", "words.png"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(line: str, words: str, run: Said, desk: Path) -> None:
    (desk / "empty").mkdir()
    (desk / "flat").mkdir()
    Image.new("RGB", (9, 9)).save(desk / "flat" / "0.png")
    (desk / "words.png").write_text("words")
    code, out, err = run(f"{line} -o out/here" if line.split()[0] != "atlsa" else line)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["atlas", "net.safetensors", ""], "images"),
        (["atlas", "", "pictures"], "network"),
        (["train", "pictures", "--cache", ""], "cache"),
        (["train", "pictures", "--exclude", "a", "--exclude="], "exclude"),
        (["project", "net.safetensors", "", "relu1:0"], "pictures"),
        (["report", ""], "atlas"),
        (["evolution", "", "pictures"], "run"),
        (["view", "atlas", "--offer", ""], "offer"),
    ],
)
def test_an_empty_word_is_a_mistake(
    words: list[str], name: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as a variable that is not set: for a path it would mean the current folder."""
    before = sorted(desk.rglob("*"))
    assert main(words) == 2
    assert capsys.readouterr().err == f"error: {name} is '': expected a value; is a variable not set?\n"
    assert sorted(desk.rglob("*")) == before


def test_weights_of_another_architecture_are_told_by_key_and_shape(run: Said, desk: Path) -> None:
    weights = load_file(desk / "net.safetensors")
    weights["conv1.weight"] = torch.zeros(5, 3, 7, 7)
    weights["conv9.bias"] = torch.zeros(1)
    header = {
        "architecture": ARCHITECTURE,
        "name": "t",
        "input_size": [3, 64, 64],
        "resize": None,
        "classes": None,
        "recipe": {},
    }
    save_file(weights, desk / "other.safetensors", {"convscope": json.dumps(header)})
    code, _, err = run("layers other.safetensors")
    assert code == 2
    assert "conv1.weight is 5x3x7x7 where the network has 4x3x7x7" in err
    assert "conv9.bias is not in the network" in err
    assert err.count("\n") == 1


def test_weights_that_are_not_finite_are_told_by_name(run: Said, desk: Path) -> None:
    net = network()
    with torch.no_grad():
        net.module.get_parameter("conv3.weight")[1, 2, 0, 1] = float("nan")
    save(net, desk / "nan.safetensors", ARCHITECTURE, {})
    code, _, err = run("layers nan.safetensors")
    assert code == 2
    assert "conv3.weight" in err
    assert "[1, 2, 0, 1]" in err


def test_another_networks_atlas_in_the_folder_is_refused(run: Said, desk: Path) -> None:
    save(network(1), desk / "other.safetensors", ARCHITECTURE, {})
    assert run("atlas net.safetensors pictures -o out --layers relu2")[0] == 0
    before = (desk / "out/atlas.json").read_bytes()
    code, _, err = run("atlas other.safetensors pictures -o out --layers relu2")
    assert code == 2
    assert "another network" in err
    assert err.count("\n") == 1
    assert (desk / "out/atlas.json").read_bytes() == before


@pytest.mark.parametrize(
    "line",
    ["atlas net.safetensors pictures -o out --layers relu2", "project net.safetensors pictures/a/0.png relu2:0 -o out"],
)
def test_a_full_disk_is_one_line(line: str, run: Said, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(np, "savez_compressed", full)
    code, _, err = run(line)
    assert code == 2
    assert "no space left" in err.lower()
    assert err.count("\n") == 1
    assert not (desk / "out/result.json").exists()


def test_an_unwritable_folder_is_one_line(run: Said, desk: Path) -> None:
    (desk / "file").write_text("")
    for line in (
        "atlas net.safetensors pictures",
        "project net.safetensors pictures/a/0.png relu2:0",
        "figure2 pictures",
    ):
        code, _, err = run(f"{line} -o file/out")
        assert code == 2
        assert err.startswith("error: ")
        assert err.count("\n") == 1


def test_what_was_skipped_is_told_even_when_quiet(run: Said, desk: Path) -> None:
    (desk / "pictures/a/broken.png").write_bytes((desk / "pictures/a/0.png").read_bytes()[:200])
    for line in (
        "atlas net.safetensors pictures -o out/atlas --layers relu1 --quiet",
        "evaluate net.safetensors pictures -o out/evaluate --quiet",
        "overlap pictures pictures/b -o out/overlap --quiet",
    ):
        code, out, err = run(line)
        assert code == 0
        assert out
        assert "skipped a/broken.png: " in err
        assert "skipped 1 of 7 pictures" in err


def test_an_atlas_becomes_a_report_and_a_figure(run: Said, desk: Path) -> None:
    assert run("atlas net.safetensors pictures -o out/atlas --layers relu1 --layers relu3 --top 2") == (
        0, "out/atlas: 2 layers over 6 pictures\n", "",
    )  # fmt: skip
    code, out, err = run("report out/atlas -o out/report")
    assert (code, out, err) == (0, "out/report/index.html: open it in a browser\n", "")
    assert (desk / "out/report/index.html").is_file()
    assert run("figure2 out/atlas -o out/figure2 --maps 3 --seed 1")[0] == 0
    result = json.loads((desk / "out/figure2/result.json").read_text())
    assert {row["scope"] for row in result["rows"]} == {"tile", "map", "layer"}


def test_shards_add_up(run: Said, desk: Path) -> None:
    for part in ("--shard 0/2", "--shard 1/2", ""):
        assert run(f"atlas net.safetensors pictures -o out --layers relu2 {part}")[0] == 0
    assert (desk / "out/atlas.json").is_file()


def test_layers_are_listed_in_columns(run: Said, desk: Path) -> None:
    code, out, _ = run("layers net.safetensors")
    assert code == 0
    header, *rows = out.splitlines()
    assert header.split() == "layer kind channels height width parameters field jump start".split()
    assert rows[4].split() == "conv2 Conv2d 4 6 6 404 27 8 -1".split()
    assert rows[-1].split() == "fc8 Linear 2 1 1 18 whole".split()


def test_labels_and_exclusions_from_tables(run: Said, desk: Path) -> None:
    """Pictures without class folders; a list with a line that names nothing; a picture by its path from here."""
    (desk / "flat").mkdir()
    for file in (desk / "pictures").rglob("*.png"):
        file.rename(desk / "flat" / file.name)
    (desk / "flat" / "1.dcm").touch()
    rows = "\r\n".join(f"{k};flat\\{k}.png;{'ab'[k % 2]}" for k in range(6))
    (desk / "labels.csv").write_text(f"id;image;class\r\n{rows}", encoding="utf-16")
    (desk / "list.txt").write_text("./1.png\ngone.png\n")
    line = "evaluate net.safetensors flat --labels labels.csv --exclude flat/0.png --exclude list.txt -o out"
    code, _, err = run(line)
    assert (code, err.splitlines()) == (0, [
        "warning: flat: ignored 1 file: .dcm 1",
        "warning: list.txt: 1 of 2 lines name no picture of flat, so they exclude nothing: line 2 'gone.png'; "
        "there a picture is called '0.png'",
    ])  # fmt: skip
    result = json.loads((desk / "out/result.json").read_text())
    assert result["data"]["pictures"] == 6
    assert (result["settings"]["labels"], result["settings"]["exclude"]) == ("labels.csv", ["flat/0.png", "list.txt"])


def test_unpoolings_are_compared_in_one_result(run: Said, desk: Path) -> None:
    ways = " ".join(f"--unpool {way}" for way in ("switch", "nearest", "nails", "overwrite"))
    assert run(f"project net.safetensors pictures/a/0.png relu3:1 -o out {ways}")[0] == 0
    rows = json.loads((desk / "out/result.json").read_text())["rows"]
    assert [row["unpool"] for row in rows] == ["switch", "nearest", "nails", "overwrite"]
    assert len({row["value"] for row in rows}) == 1
    with np.load(desk / "out/arrays.npz") as arrays:
        assert arrays["pixels"].shape == (4, 3, 64, 64)


def test_a_warning_of_ours_is_one_line(run: Said, desk: Path) -> None:
    code, _, err = run("atlas net.safetensors pictures -o out --layers relu1")
    assert code == 0
    assert err == "warning: 6 pictures for the 9 strongest: places stay empty\n"


def test_a_reader_that_leaves_is_no_error(desk: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m convscope.cli layers net.safetensors | true",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in done.stderr
