"""Batches: their order, what is decoded ahead, and what ends a stream."""

import threading
import time
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.data.batches import batches
from convscope.data.preprocess import Preprocess
from convscope.data.sources import images
from convscope.errors import ArgumentError
from tests.data.items import TRANSFORM, Listed, grey, values


def test_order_is_that_of_the_indices_whatever_the_speed() -> None:
    class Uneven(Listed):
        def __getitem__(self, index: int) -> object:
            time.sleep(0.003 * (index % 4 == 0))
            return grey(index)

    pictures = images(Uneven([0] * 40))
    assert list(values(pictures, batch_size=7)) == list(range(40))
    chosen = [30, 2, 17, 2]
    found = list(batches(pictures, TRANSFORM, 3, chosen))
    assert torch.cat([batch.indices for batch in found]).tolist() == chosen
    assert [len(batch.indices) for batch in found] == [3, 1]
    assert found[0].inputs.is_contiguous(memory_format=torch.channels_last)
    assert list(batches(pictures, TRANSFORM, 3, [])) == []
    with pytest.raises(ArgumentError, match="batch_size is 0"):
        next(batches(pictures, TRANSFORM, 0))


def test_decoding_runs_ahead_but_not_away() -> None:
    started: list[int] = []

    def transform(image: Image.Image) -> torch.Tensor:
        started.append(1)
        return torch.zeros(3, 8, 8)

    stream: Any = batches(images([grey(0)] * 500), transform, 10)
    next(stream)
    deadline = time.monotonic() + 10
    while len(started) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert 20 <= len(started) <= 40
    stream.close()
    assert len(started) <= 40


def test_a_data_set_s_items_are_asked_for_one_at_a_time() -> None:
    inside = threading.Semaphore(1)

    class Alone(Listed):
        def __getitem__(self, index: int) -> object:
            assert inside.acquire(blocking=False), "two threads at once"
            time.sleep(0.002)
            inside.release()
            return grey(index)

    assert len(values(images(Alone([0] * 30)))) == 30


def test_an_error_of_the_transform_ends_the_stream_and_its_threads() -> None:
    def transform(image: Image.Image) -> torch.Tensor:
        raise RuntimeError("a bug")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="a bug"):
        list(batches(images([grey(0)] * 100), transform))
    assert threading.active_count() == before


def test_ten_crops_travel_as_channels() -> None:
    transform = Preprocess((3, 64, 64))
    picture = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    (batch,) = batches(images([picture]), lambda image: transform.ten_crops(image).flatten(0, 1))
    assert torch.equal(batch.inputs.reshape(10, 3, 64, 64), transform.ten_crops(picture))
