import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import load_file

from convscope.data.picture_set import Pictures
from convscope.errors import ArgumentError, DataError, TrainingError
from convscope.models.catalog import load
from convscope.models.network import Network
from convscope.training.callbacks import COLUMNS, read_log
from convscope.training.evaluate import evaluate
from convscope.training.lightning_trainer import WholeFiles
from convscope.training.module import Trainee, filter_rms
from convscope.training.train import Training, train
from tests.training.toys import TINY

QUICK: dict[str, Any] = {"architecture": TINY, "recipe": "scaled", "batch_size": 16, "epochs": 3, "warmup": 0.0}


def weights(network: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.module.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def trained(toy: Callable[..., Pictures], tmp_path_factory: pytest.TempPathFactory) -> Training:
    out = tmp_path_factory.mktemp("trained")
    settings = {**QUICK, "epochs": 12, "lr": 0.05, "dropout": 0.1}
    return train(toy(96), out, validation=toy(30, seed=1), name="toy", snapshots=(1, 5), **settings)


def test_it_learns(trained: Training, toy: Callable[..., Pictures]) -> None:
    assert trained.log[-1]["train_loss"] < trained.log[0]["train_loss"]
    assert trained.log[-1]["val_top1"] < 35
    found = evaluate(trained.network, toy(30, seed=1))
    assert found.errors[1] == pytest.approx(trained.log[-1]["val_top1"])


def test_the_log_has_a_full_row_an_epoch(trained: Training) -> None:
    rows = read_log(trained.output / "log.csv")
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    empty = {name for row in rows for name in COLUMNS if not row[name]}
    assert empty == {"val_top5"}  # there are three classes
    assert all(0 <= row["dead_units"] <= 1 for row in trained.log)


def test_snapshots_are_networks_of_their_epoch(trained: Training) -> None:
    files = sorted(path.name for path in (trained.output / "snapshots").iterdir())
    assert files == ["epoch-001.safetensors", "epoch-005.safetensors", "epoch-012.safetensors"]
    last, first = (load(str(trained.output / "snapshots" / files[place])) for place in (-1, 0))
    assert same(weights(last), weights(trained.network))
    assert not same(weights(first), weights(last))
    assert first.recipe["epoch"] == 1


def test_weights_carry_the_recipe_and_are_read_back(trained: Training) -> None:
    again = load(str(trained.output / "network.safetensors"))
    assert same(weights(again), weights(trained.network))
    assert again.name == "toy"
    assert again.classes == ("class0", "class1", "class2")
    assert again.recipe["epochs"] == 12
    assert again.recipe["data"]["training"]["pictures"] == 96
    report = json.loads((trained.output / "training.json").read_text())
    assert report["log"] == trained.log
    assert not trained.network.module.training


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_random_state(
    toy: Callable[..., Pictures], tmp_path: Path
) -> None:
    state = torch.get_rng_state()
    one = train(toy(40), tmp_path / "one", **QUICK)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(123)
    two = train(toy(40), tmp_path / "two", **QUICK)
    other = train(toy(40), tmp_path / "other", seed=1, **QUICK)
    assert same(weights(one.network), weights(two.network))
    assert not same(weights(one.network), weights(other.network))


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_a_resumed_training_ends_bit_for_bit_where_an_undisturbed_one_does(
    toy: Callable[..., Pictures], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    settings = {**QUICK, "schedule": schedule, "epochs": 4, "patience": 1, "crops": "scale", "jitter": 0.1}
    data: dict[str, Any] = {"validation": toy(9, seed=1)}
    whole = train(toy(40), tmp_path / "whole", **data, **settings)
    step = Trainee.training_step

    def failing(self: Trainee, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 2 and batch_idx == 1:
            raise KeyError("the power went off")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Trainee, "training_step", failing)
        with pytest.raises(KeyError):
            train(toy(40), tmp_path / "cut", **data, **settings)
    assert len(read_log(tmp_path / "cut" / "log.csv")) == 2
    resumed = train(toy(40), tmp_path / "cut", resume=True, **data, **settings)
    assert same(weights(resumed.network), weights(whole.network))
    timeless = [[{**row, "seconds": 0} for row in run.log] for run in (resumed, whole)]
    assert timeless[0] == timeless[1]


def test_a_state_is_there_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, state = WholeFiles(), tmp_path / "state.ckpt"
    files.save_checkpoint({"epoch": 1}, state)

    def torn(self: Any, checkpoint: Any, path: Path, storage_options: Any = None) -> None:
        Path(path).write_bytes(b"PK half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(TorchCheckpointIO, "save_checkpoint", torn)
    with pytest.raises(KeyboardInterrupt):
        files.save_checkpoint({"epoch": 2}, state)
    assert torch.load(state, weights_only=True) == {"epoch": 1}


def test_an_interrupt_reaches_the_caller_and_the_next_one_will_too(
    toy: Callable[..., Pictures], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: Any) -> torch.Tensor:
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(Trainee, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(toy(20), tmp_path, **QUICK)
    assert signal.getsignal(signal.SIGINT) is handler


SCRIPT = """
import sys
sys.path.insert(0, {root!r})
import numpy as np
from tests.training.toys import TINY, striped
from convscope.data.picture_set import Pictures
from convscope.training.train import train
generator = np.random.default_rng(0)
labels = [index % 3 for index in range(40)]
items = [striped(label, generator) for label in labels]
train(
    Pictures("toy", items, labels=labels, classes=["a", "b", "c"]), {out!r}, architecture=TINY, recipe="scaled",
    warmup=0.0, schedule="constant", dropout=0.0, accelerator="cpu", **{settings!r},
)
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., "subprocess.Popen[bytes]"]:
    """`start(out, **settings)`: a training in a process of its own."""

    def begin(out: str, **settings: Any) -> "subprocess.Popen[bytes]":
        script = tmp_path / f"{out}-{len(list(tmp_path.iterdir()))}.py"
        root = str(Path(__file__).parents[2])
        script.write_text(SCRIPT.format(root=root, out=str(tmp_path / out), settings=settings))
        return subprocess.Popen([sys.executable, "-W", "ignore", script])

    return begin


def test_a_killed_training_resumes(tmp_path: Path, start: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    undisturbed, victim = (start(out, batch_size=16, epochs=n) for out, n in (("whole", 6), ("cut", 100_000)))
    log = tmp_path / "cut" / "log.csv"
    while not log.exists() or len(read_log(log)) < 2:
        assert victim.poll() is None
        time.sleep(0.05)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    assert undisturbed.wait() == 0
    epochs = max(6, len(read_log(log)) + 1)
    runs = [start(out, batch_size=16, epochs=epochs, resume=True) for out in ("whole", "cut")]
    assert [run.wait() for run in runs] == [0, 0]
    assert same(*(load_file(tmp_path / out / "network.safetensors") for out in ("whole", "cut")))


def test_two_processes_train_as_one_with_twice_the_batch(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    runs = [
        start("one", batch_size=16, epochs=2, devices=1),
        start("two", batch_size=8, epochs=2, devices=2, strategy="ddp"),
    ]
    assert [run.wait() for run in runs] == [0, 0]
    one, two = (load_file(tmp_path / out / "network.safetensors") for out in ("one", "two"))
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], rtol=1e-3, atol=1e-5), name
    logs = [read_log(tmp_path / out / "log.csv") for out in ("one", "two")]
    assert [float(row["train_loss"]) for row in logs[0]] == pytest.approx(
        [float(row["train_loss"]) for row in logs[1]], rel=1e-3
    )


def test_the_same_call_goes_on_and_another_is_refused(toy: Callable[..., Pictures], tmp_path: Path) -> None:
    """Whatever decides the outcome is the same; what does not may change."""
    with pytest.raises(TrainingError, match="nothing to resume"):
        train(toy(20), tmp_path, resume=True, **QUICK)
    done = train(toy(20), tmp_path, name="first", snapshots=(1,), **QUICK)
    files = {path: path.read_bytes() for path in tmp_path.glob("[!.]*") if path.is_file()}
    again = train(toy(20), tmp_path, name="first", snapshots=(1,), workers=0, validate_every=2, **QUICK)
    assert again.log == done.log
    assert {path: path.read_bytes() for path in files} == files
    other = {"maps": (6, 6, 6, 6, 8)}
    for match, pictures, change in [
        (r"with another recipe \(lr is 0.03 there, 0.02 here\); choose another folder", toy(20), {"lr": 0.02}),
        (r"with another recipe \(epochs is 3 there, 2 here\)", toy(20), {"epochs": 2}),  # a cosine's rates change
        (r"of other pictures \(fingerprint is '20-", toy(24), {}),
        (r"of another architecture \(maps is \[6, 6, 6, 6, 6\] there", toy(20), {"architecture": {**TINY, **other}}),
        (r"with other first weights \(init_from is None there", toy(20), {"init_from": done.network}),
    ]:
        with pytest.raises(TrainingError, match=match):
            train(pictures, tmp_path, **{**QUICK, **change})  # type: ignore[dict-item]
    assert {path: path.read_bytes() for path in files} == files


def test_a_longer_training_is_not_made_shorter(toy: Callable[..., Pictures], tmp_path: Path) -> None:
    constant = {**QUICK, "schedule": "constant"}
    train(toy(20), tmp_path, **{**constant, "epochs": 1})
    assert len(train(toy(20), tmp_path, **constant).log) == 3
    with pytest.raises(TrainingError, match=r"holds a longer training \(3 epochs are trained there, 2 asked for\)"):
        train(toy(20), tmp_path, **{**constant, "epochs": 2})
    (tmp_path / "state.ckpt").unlink()
    with pytest.raises(TrainingError, match=r"a finished training and no state.ckpt to go on from"):
        train(toy(20), tmp_path, **constant)


def test_a_training_from_before_there_were_records_goes_on(toy: Callable[..., Pictures], tmp_path: Path) -> None:
    constant = {**QUICK, "schedule": "constant"}
    whole = train(toy(20), tmp_path / "whole", **constant)
    train(toy(20), tmp_path / "cut", **{**constant, "epochs": 2})
    for left in (".convscope/record.json", "training.json", "network.safetensors"):  # as after a kill
        (tmp_path / "cut" / left).unlink()
    (tmp_path / "cut" / ".convscope").rmdir()
    (tmp_path / "cut" / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match="another recipe: lr differ"):
        train(toy(20), tmp_path / "cut", **{**constant, "lr": 0.01})
    shutil.rmtree(tmp_path / "cut" / ".convscope")
    assert same(weights(train(toy(20), tmp_path / "cut", **constant).network), weights(whole.network))
    assert (tmp_path / "cut" / "notes.txt").read_text() == "mine"
    shutil.rmtree(tmp_path / "cut" / ".convscope")  # finished: its report tells what it was trained on
    with pytest.raises(TrainingError, match="of other pictures"):
        train(toy(24), tmp_path / "cut", **constant)


def test_a_training_that_came_to_nothing_gives_way(toy: Callable[..., Pictures], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the loss is"):
        train(toy(64), tmp_path, **{**QUICK, "lr": 1e30, "clip": 1e9, "schedule": "constant"})
    assert len(train(toy(20), tmp_path, **QUICK).log) == 3


def test_two_trainings_at_once_do_not_share_a_folder(
    toy: Callable[..., Pictures], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convscope.disk.output_folder.PATIENCE", 0.0)
    step = Trainee.training_step

    def nested(self: Trainee, batch: Any, batch_idx: int) -> torch.Tensor:
        with pytest.raises(ArgumentError, match=f"process {os.getpid()}, .* writes to it"):
            train(toy(20), tmp_path, **QUICK)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Trainee, "training_step", nested)
    assert len(train(toy(20), tmp_path, **{**QUICK, "epochs": 1}).log) == 1


def test_an_exploding_loss_stops_with_epoch_step_and_rate(toy: Callable[..., Pictures], tmp_path: Path) -> None:
    settings = {**QUICK, "lr": 1e30, "clip": 1e9, "schedule": "constant"}
    with pytest.raises(TrainingError, match=r"epoch 1, step \d+, lr 1e\+30"):
        train(toy(64), tmp_path, **settings)


def test_the_papers_recipe(toy: Callable[..., Pictures], tmp_path: Path) -> None:
    shape: dict[str, Any] = {"architecture": TINY, "epochs": 2, "batch_size": 16}
    done = train(toy(32), tmp_path, validation=toy(9), lr=1.0, **shape)
    rms = max(float(filter_rms(done.network.module.get_submodule(f"conv{n}")).max()) for n in range(1, 6))  # type: ignore[arg-type]
    assert rms <= 0.1 * (1 + 1e-6)
    assert done.log[-1]["max_filter_rms"] == pytest.approx(rms, rel=1e-4)
    mean, std = torch.as_tensor(done.network.mean), torch.as_tensor(done.network.std)
    assert mean.shape == (3, 55, 55)  # of the whole square: cropped with the picture
    assert torch.allclose(std, torch.full_like(std, 1 / 255))
    found = evaluate(load(str(tmp_path / "network.safetensors")), toy(9), crops="ten")
    assert len(found.probabilities) == 9


def test_a_mean_picture_goes_along_to_another_size(toy: Callable[..., Pictures], tmp_path: Path) -> None:
    paper: dict[str, Any] = {"recipe": "paper", "schedule": "constant", "epochs": 1, "batch_size": 16}
    paper["architecture"] = TINY
    begun = train(toy(20), tmp_path / "begun", **paper)
    again = train(toy(20, seed=5), tmp_path / "same", init_from=begun.network, **paper)
    larger = train(toy(20, seed=5), tmp_path / "larger", init_from=begun.network, side=96, **paper)
    own, same_size, other = (torch.as_tensor(done.network.mean) for done in (begun, again, larger))
    assert torch.allclose(own, same_size)
    assert other.shape == (3, 110, 110)
    assert torch.allclose(other.mean((1, 2)), own.mean((1, 2)), atol=1e-3)


def test_defaults_follow_the_network(toy: Callable[..., Pictures], tmp_path: Path) -> None:
    small: dict[str, Any] = {"maps": (4, 4, 4, 4, 4), "fc": (4, 4), "epochs": 2, "batch_size": 16}
    own = train(toy(16), tmp_path / "own", architecture="zfnet128", **small)
    paper = train(
        toy(16), tmp_path / "paper", architecture="alexnet", side=64, validation=toy(3), groups=(1, 1, 1, 1, 1), **small
    )
    assert own.network.recipe["schedule"] == "cosine"
    assert paper.network.recipe["schedule"] == "plateau"
    assert paper.network.recipe["weight_decay"] == 5e-4


def test_the_plateau_needs_validation(toy: Callable[..., Pictures], tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="validate on"):
        train(toy(12), tmp_path, architecture=TINY)
    with pytest.raises(ArgumentError, match="validate_every"):
        train(toy(12), tmp_path, validation=toy(6), architecture=TINY, validate_every=2)


def test_beginning_from_other_weights(trained: Training, toy: Callable[..., Pictures], tmp_path: Path) -> None:
    begun = str(trained.output / "network.safetensors")
    done = train(toy(40, classes=4), tmp_path, init_from=begun, side=96, **QUICK)
    assert done.fresh == ["fc8.weight", "fc8.bias"]
    assert done.network.input_size == (3, 96, 96)
    assert torch.equal(torch.as_tensor(done.network.mean), torch.as_tensor(trained.network.mean))
    assert load(str(tmp_path / "network.safetensors")).recipe["init_from"]["name"] == "toy"


def test_half_precision_and_skipped_pictures(toy: Callable[..., Pictures], tmp_path: Path) -> None:
    good = toy(20)
    items = [good.picture(index) for index in range(20)]
    items[7] = b"no picture"  # type: ignore[call-overload]
    pictures = Pictures("mixed", items, labels=good.labels, classes=good.classes)
    done = train(pictures, tmp_path, half=True, **QUICK)
    assert list(done.skipped) == ["mixed[7]"]
    again = load(str(tmp_path / "network.safetensors"))
    assert load_file(tmp_path / "network.safetensors")["conv1.weight"].dtype == torch.float16
    for name, tensor in weights(again).items():
        assert torch.allclose(tensor, weights(done.network)[name], rtol=1e-3, atol=1e-6)


def test_tensorboard_logs(toy: Callable[..., Pictures], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train(toy(20), tmp_path, tensorboard=True, **QUICK)
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_bf16_is_passed_to_lightning(toy: Callable[..., Pictures], tmp_path: Path) -> None:
    settings = {**QUICK, "epochs": 1}
    full = train(toy(16), tmp_path / "full", **settings)
    half = train(toy(16), tmp_path / "half", precision="bf16-mixed", accelerator="cpu", devices=1, **settings)
    a, b = weights(full.network)["fc8.weight"], weights(half.network)["fc8.weight"]
    assert not torch.equal(a, b)
    assert torch.allclose(a, b, atol=0.05)


def test_a_split_trains_on_so_many_of_a_class(toy: Callable[..., Pictures], tmp_path: Path) -> None:
    pytest.importorskip("convscope.data.splits")
    done = train(toy(33), tmp_path, per_class=4, test_cap=5, **QUICK)
    split = json.loads((tmp_path / "training.json").read_text())["split"]
    assert len(split["training"]) == 12
    assert len(split["validation"]) == 15
    assert not set(split["training"]) & set(split["validation"])
    found = evaluate(done.network, toy(33), per_class=4, test_cap=5)
    assert found.errors[1] == pytest.approx(done.log[-1]["val_top1"])


def test_validating_now_and_then(toy: Callable[..., Pictures], tmp_path: Path) -> None:
    done = train(toy(16), tmp_path, validation=toy(6), validate_every=2, **{**QUICK, "epochs": 4})
    assert ["val_top1" in row for row in done.log] == [False, True, False, True]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"architecture": "resnet"}, "zfnet"),
        ({"recipe": "best"}, "paper"),
        ({"depth": 9}, "depth"),
        ({"exclude": "nowhere.csv"}, "no such file"),
        ({"strategy": "ddp_spawn"}, "such as ddp"),
        ({"per_class": 3, "validation": "folder"}, "the rest of the pictures validates"),
    ],
)
def test_mistakes_are_named(toy: Callable[..., Pictures], tmp_path: Path, change: dict[str, Any], match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        train(toy(12), tmp_path, **{**QUICK, **change})


def test_validation_of_other_classes_is_refused(toy: Callable[..., Pictures], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="class3"):
        train(toy(12), tmp_path, validation=toy(12, classes=4), **QUICK)
