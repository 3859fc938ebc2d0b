"""Variants trained alike: what is told of them, and what survives failures and interruptions."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from convscope.data.sources import images
from convscope.errors import ArgumentError, DataError, TrainingError
from convscope.experiments import ablate as module
from convscope.experiments.ablate import Ablation
from convscope.models.catalog import load
from convscope.models.variants import VARIANTS, build
from convscope.training.callbacks import ProgressBar
from convscope.training.evaluate import evaluate
from convscope.training.published import TABLE3
from convscope.training.selection import choose
from convscope.training.significance import Pair

DIGITS: dict[str, Any] = {"images": "digits", "per_class": 6, "epochs": 2, "device": "cpu"}
DEEP, NARROW = "m5", "m5:maps=[2];fc=[2]"


def run(cache: Path, **changes: Any) -> Ablation:
    return module.ablate(**{**DIGITS, "variants": [DEEP, NARROW], "cache": cache, **changes})


def told(found: Ablation) -> tuple[Any, ...]:
    return found.rows, found.text, {name: values.tolist() for name, values in found.arrays.items()}, found.notes


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def found(kept: Path) -> Ablation:
    return run(kept, seeds=2, repeated=[DEEP])


def test_what_it_tells_of_a_variant_is_what_its_network_does(found: Ablation) -> None:
    variant = found.variants[0]
    assert (variant.name, variant.seeds, variant.right.shape[0]) == (DEEP, (0, 1), 2)
    for file, top1, top5, right in zip(
        variant.weights, variant.errors["val top-1"], variant.errors["val top-5"], variant.right, strict=True
    ):
        again = evaluate(load(str(file)), "digits", per_class=6, device="cpu")
        assert [again.errors[1], again.errors[5]] == pytest.approx([top1, top5])
        assert torch.equal(again.probabilities.argmax(1) == again.labels, right)
    assert found.trained_on == 60
    assert found.measured_on == variant.right.shape[1] == 500


def test_train_errors_are_measured_in_evaluation_mode_on_a_fixed_sample(kept: Path, found: Ablation) -> None:
    training, _ = choose("digits", per_class=6)
    again = evaluate(load(str(found.variants[0].weights[0])), training, device="cpu")
    assert again.errors[1] == pytest.approx(found.variants[0].errors["train top-1"][0])
    some = run(kept / "sample", variants=[NARROW], sample=10)
    assert {round(error) % 10 for error in some.variants[0].errors["train top-1"]} == {0}


def test_the_rows_hold_seeds_spread_and_parameters(found: Ablation) -> None:
    rows = {(row["variant"], row["measure"]): row for row in found.rows if "than" not in row}
    assert rows[DEEP, "parameters"]["value"] == sum(p.numel() for p in build({"base": "m5"}).parameters())
    top1 = rows[DEEP, "val top-1"]
    errors = found.variants[0].errors["val top-1"]
    assert top1["value"] == pytest.approx(sum(errors) / 2)
    assert top1["spread"] == pytest.approx(abs(errors[0] - errors[1]) / 2**0.5)
    assert rows[NARROW, "val top-1"]["spread"] is None
    assert found.freedom == 1
    (pair,) = [row for row in found.rows if "than" in row]
    assert (pair["variant"], pair["than"]) == (NARROW, DEEP)
    assert pair["p_seeds"] is not None


def test_the_best_network_is_handed_on(found: Ablation) -> None:
    best = min(found.variants, key=lambda variant: variant.errors["val top-1"][0])
    assert found.network.name == best.name


def test_the_same_numbers_again_without_training(kept: Path, found: Ablation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "train", None)
    assert told(run(kept, seeds=2, repeated=[DEEP])) == told(found)
    assert [variant.name for variant in run(kept, variants=[NARROW, DEEP]).variants] == [NARROW, DEEP]


@pytest.mark.parametrize("moment", ["second epoch", "measuring", "second variant"])
def test_an_interruption_anywhere_changes_nothing(
    moment: str, tmp_path: Path, found: Ablation, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    owner, doing = {
        "second epoch": (ProgressBar, "on_train_epoch_start"),
        "measuring": (module, "evaluate"),
        "second variant": (module, "train"),
    }[moment]
    original: Any = getattr(owner, doing)
    with monkeypatch.context() as patched:

        def interrupted(*args: Any, **options: Any) -> Any:
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return original(*args, **options)

        patched.setattr(owner, doing, interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, seeds=2, repeated=[DEEP])
    assert told(run(tmp_path, seeds=2, repeated=[DEEP])) == told(found)


def test_a_kill_before_a_training_is_filed_does_not_cost_it(
    tmp_path: Path, found: Ablation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is made, and only the folder has not got its name yet; half a file lies in it."""
    with monkeypatch.context() as patched:

        def killed(self: Path, target: Path) -> Path:
            if self.suffix == ".part" and self.is_dir():
                (self / "network.safetensors.7.part").write_bytes(b"half")
                raise KeyboardInterrupt
            os.rename(self, target)  # noqa: PTH104 - what is patched
            return target

        patched.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, seeds=2, repeated=[DEEP])
    epochs: list[int] = []
    monkeypatch.setattr(ProgressBar, "on_train_epoch_start", lambda *_: epochs.append(1))
    again = run(tmp_path, variants=[DEEP])
    assert not epochs
    assert torch.equal(again.variants[0].right, found.variants[0].right[:1])
    assert not {"state.ckpt", "snapshots"} & {file.name for file in again.variants[0].weights[0].parent.iterdir()}
    assert not list(tmp_path.rglob("*.part"))


def failing(name: str, error: Exception) -> Callable[..., Any]:
    real = module.train  # type: ignore[attr-defined]

    def train(*args: Any, **options: Any) -> Any:
        if options["name"] == name:
            raise error
        return real(*args, **options)

    return train


@pytest.mark.parametrize("error", [TrainingError("the loss is nan"), RuntimeError("out of\nmemory"), MemoryError()])
def test_a_variant_that_fails_costs_only_itself(
    error: Exception, kept: Path, found: Ablation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "train", failing("m5:fc=[3]", error))
    partial = run(kept, variants=[DEEP, "m5:fc=[3]", NARROW])
    assert [variant.name for variant in partial.variants] == [DEEP, NARROW]
    reason = " ".join(str(error).split()) or "MemoryError"
    assert partial.failed == {"m5:fc=[3]": f"seed 0: {reason}"}
    assert any(reason in note for note in partial.notes)
    assert [row["reason"] for row in partial.rows if row["measure"] == "failed"] == [f"seed 0: {reason}"]
    assert torch.equal(partial.variants[0].right[0], found.variants[0].right[0])


def test_where_all_fail_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "train", failing(DEEP, TrainingError("the loss is nan")))
    with pytest.raises(TrainingError, match="no variant could be trained; m5, seed 0: the loss is nan"):
        run(tmp_path, variants=[DEEP])


def test_a_share_of_the_published_widths() -> None:
    shape = module._shape("zfnet-wide-fc-8192", 64, 0.25, 0.125, 100)
    assert (shape["maps"], shape["fc"]) == ([24, 64, 128, 256, 128], [1024, 1024])
    assert (shape["side"], shape["classes"]) == (64, 100)
    cut = module._shape("zfnet:remove=[6,7]", None, 1, 1, 1000)
    assert (cut["remove"], cut["side"]) == ([6, 7], 224)


def test_every_variant_of_the_table_has_its_published_errors() -> None:
    assert list(TABLE3) == list(VARIANTS)
    assert TABLE3["alexnet-without-3-4-6-7"] == (71.1, 71.3, 50.1)
    assert min(TABLE3, key=lambda name: TABLE3[name].top1) == "zfnet-wide"
    assert min(TABLE3, key=lambda name: TABLE3[name].train) == "zfnet-wide-fc-8192"


def test_pictures_to_measure_on_may_be_given(tmp_path: Path) -> None:
    everything = images("digits")
    half = everything.subset(range(900)), everything.subset(range(900, len(everything)))
    found = run(tmp_path, images=half[0], validation=half[1], variants=[NARROW], per_class=4)
    assert (found.trained_on, found.measured_on) == (40, 897)
    few = half[0].subset([half[0].labels.index(label) for label in range(10)] if half[0].labels else [])
    assert module._pictures(few, half[1], 1, 0)[0].labels == list(range(10))


def test_too_few_pictures_of_a_class_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"class '0' has 178 pictures, need 201: 200 for training"):
        run(tmp_path, per_class=200)
    with pytest.raises(ArgumentError, match="groups"):
        run(tmp_path, variants=["alexnet:groups=[1,5,1,1,1]"], side=64, width=0.02)


def test_labels_with_a_gap_are_refused(tmp_path: Path) -> None:
    digits = images("digits")
    digits.labels = [0 if label == 3 else label for label in digits.labels or []]
    with pytest.raises(DataError, match=r"class '3' of digits has 0 pictures, need 7 or more"):
        run(tmp_path, images=digits)


def test_published_differences_stand_beside_a_pair() -> None:
    row = module._of_pair(Pair("alexnet", "alexnet-without-3-4", 2.0, 0.5, None))
    assert row["reference"] == pytest.approx(4.9)
    assert row["delta"] == pytest.approx(-2.9)
    assert not row["separated"]
    assert "reference" not in module._of_pair(Pair("alexnet", "m5", 2.0, 0.5, None))
