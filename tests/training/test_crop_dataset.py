from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from convscope.data.picture_set import Pictures
from convscope.data.preprocess import Preprocess
from convscope.disk.scratch_dirs import LOCK
from convscope.errors import DataError
from convscope.training.crop_dataset import Presentations, Squares, decode, mean_picture

R, SIDE = 16, 12  # a square, and the crop


def ramp(count: int = 20, **options: object) -> Squares:
    """Squares whose red says the row, green the column and blue the picture."""
    rows, columns = np.mgrid[:R, :R]
    squares = np.stack([np.stack([rows, columns, np.full_like(rows, n)], 2) for n in range(count)]).astype(np.uint8)
    plain = np.zeros(3), np.full(3, 1 / 255)
    return Squares(squares, [n % 3 for n in range(count)], (SIDE, SIDE), *plain, **options)  # type: ignore[arg-type]


def test_the_centre_crop_is_the_transforms() -> None:
    inputs, labels = ramp().__getitems__([3, 5])
    assert inputs.shape == (2, 3, SIDE, SIDE)
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert inputs[1, :, 0, 0].tolist() == [2, 2, 5]
    assert inputs[1, :, -1, -1].tolist() == [13, 13, 5]
    assert labels.tolist() == [0, 2]


def test_centre_crops_agree_with_preprocess(toy: Callable[..., Pictures]) -> None:
    pictures, mean, std = toy(4), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    transform = Preprocess((3, 48, 48), mean, std)
    squares, kept = decode(pictures, transform)
    batch = Squares(squares, [0] * 4, (48, 48), np.array(mean), np.array(std)).centres(kept)
    expected = torch.stack([transform(pictures.picture(index)) for index in range(4)])
    assert torch.allclose(batch, expected, atol=1e-5)


def test_ten_crops_are_the_five_places_and_their_mirrors() -> None:
    squares = ramp(400, crops="ten", seed=1)
    inputs, _ = squares.__getitems__(range(400))
    corners = set()
    for crop in inputs:
        row, left, right = int(crop[0, 0, 0]), int(crop[1, 0, 0]), int(crop[1, 0, -1])
        assert abs(left - right) == SIDE - 1
        corners.add((row, min(left, right), left > right))
    assert corners == {
        (row, column, mirrored)
        for row, column in ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2))
        for mirrored in (False, True)
    }


def test_random_crops_take_every_offset() -> None:
    inputs, _ = ramp(900, crops="random").__getitems__(range(900))
    assert {int(value) for value in inputs[:, 0, 0, 0]} == set(range(R - SIDE + 1))
    assert {int(value) for value in inputs[:, 1, 0, :].amin(1)} == set(range(R - SIDE + 1))


def test_scaled_crops_stay_inside_and_vary_in_size() -> None:
    inputs, _ = ramp(200, crops="scale").__getitems__(range(200))
    rows = inputs[:, 0]
    assert rows.min() >= 0
    assert rows.max() <= R - 1
    heights = (rows[:, -1, 0] - rows[:, 0, 0]) / (SIDE - 1) * SIDE / R
    assert heights.min() < 0.65
    assert heights.max() > 0.9
    assert torch.equal(inputs[:, 2].flatten(1).amin(1).round().int(), (torch.arange(200) % 256).int())


def test_the_smallest_area_is_kept_to() -> None:
    inputs, _ = ramp(100, crops="scale", area=1.0).__getitems__(range(100))
    heights = (inputs[:, 0, -1, 0] - inputs[:, 0, 0, 0]) / (SIDE - 1) * SIDE / R
    assert heights.min() > 0.85  # aspect of up to 4:3 within the whole


@pytest.mark.parametrize("crops", ["ten", "random", "scale"])
def test_a_crop_follows_from_seed_epoch_and_index_alone(crops: str) -> None:
    squares = ramp(crops=crops, jitter=0.2, seed=4)
    together, _ = squares.__getitems__([20 + n for n in range(20)])  # epoch 1
    squares.__getitems__([3])
    alone = torch.stack([squares[20 + n][0] for n in reversed(range(20))]).flip(0)
    assert torch.allclose(together, alone, atol=1e-5)
    other_epoch, _ = squares.__getitems__([40 + n for n in range(20)])
    other_seed, _ = ramp(crops=crops, jitter=0.2, seed=5).__getitems__([20 + n for n in range(20)])
    assert not torch.allclose(together, other_epoch)
    assert not torch.allclose(together, other_seed)


def test_a_mean_picture_is_cropped_along() -> None:
    plain = ramp(60, crops="random")
    mean = mean_picture(plain.squares[:1])  # picture 0: the ramp itself, and blue 0
    squares = Squares(plain.squares, [0] * 60, (SIDE, SIDE), mean, np.full(3, 1 / 255), crops="random")
    inputs, _ = squares.__getitems__(range(60))
    assert inputs[:, :2].abs().max() < 1e-4
    assert torch.allclose(inputs[:, 2, 0, 0], torch.arange(60.0), atol=1e-4)


def test_the_order_follows_from_seed_and_epoch() -> None:
    def order(epoch: int, seed: int = 0) -> list[int]:
        sampler = Presentations(10, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(3) == order(3)
    assert sorted(order(3)) == list(range(30, 40))
    assert [key % 10 for key in order(3)] != [key % 10 for key in order(4)]
    assert order(3) != order(3, seed=1)


def test_processes_share_an_epoch_in_equal_steps() -> None:
    shares = [list(Presentations(10, rank=rank, world=3)) for rank in range(3)]
    assert [len(share) for share in shares] == [4, 4, 4]
    assert {key for share in shares for key in share} == set(range(10))
    held_out = [list(Presentations(10, shuffle=False, rank=rank, world=3)) for rank in range(3)]
    assert sorted(key for share in held_out for key in share) == list(range(10))
    assert [len(Presentations(10, shuffle=False, rank=rank, world=3)) for rank in range(3)] == [4, 3, 3]


def test_unreadable_pictures_are_left_out_and_the_others_keep_their_labels(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    good = np.full((20, 20, 3), 200, np.uint8)
    pictures = Pictures("mixed", [good, tmp_path / "bad.png", good // 2])
    squares, kept = decode(pictures, Preprocess((3, 12, 12)))
    assert kept == [0, 2]
    assert squares[:, 0, 0, 0].tolist() == [200, 100]
    assert list(pictures.skipped) == [1]
    with pytest.raises(DataError, match="none of the 1 pictures of bad can be read"):
        decode(Pictures("bad", [tmp_path / "bad.png"]), Preprocess((3, 12, 12)))


def test_squares_are_kept_on_disk(tmp_path: Path, toy: Callable[..., Pictures]) -> None:
    (tmp_path / ".decoding-killed").mkdir()
    (tmp_path / ".decoding-killed" / LOCK).touch()  # proves that it is ours
    first, kept = decode(toy(5), Preprocess((3, 24, 24)), tmp_path)
    files = sorted(tmp_path.iterdir())
    assert [file.suffix for file in files] == [".npy", ".npy"]
    again, same = decode(toy(5), Preprocess((3, 24, 24)), tmp_path)
    assert np.array_equal(first, again)
    assert kept == same
    assert sorted(tmp_path.iterdir()) == files
    decode(toy(5), Preprocess((3, 32, 32)), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 * len(files)
