from threading import Barrier, Thread

import pytest

from convscope.web.byte_cache import Shelf


def test_what_was_made_is_made_once() -> None:
    shelf, made = Shelf(100), []
    for _ in range(3):
        assert shelf.get("a", lambda: made.append(1) or b"page") == b"page"  # type: ignore[func-returns-value]
    assert made == [1]


def test_the_least_recently_used_goes_first() -> None:
    shelf = Shelf(10)
    for key in "abacd":
        shelf.get(key, lambda: b"1234")
    made: list[str] = []
    for key in "dcab":
        shelf.get(key, lambda key=key: made.append(key) or b"1234")  # type: ignore[func-returns-value,misc]
    assert made == ["a", "b"]
    assert shelf.size <= shelf.limit


def test_what_is_larger_than_the_shelf_is_not_kept() -> None:
    shelf = Shelf(3)
    assert shelf.get("a", lambda: b"1234") == b"1234"
    assert shelf.size == 0


def test_a_failure_is_raised_and_not_kept() -> None:
    shelf = Shelf(100)
    with pytest.raises(ZeroDivisionError):
        shelf.get("a", lambda: bytes(1 // 0))
    assert shelf.get("a", lambda: b"fine") == b"fine"


def test_threads_that_want_the_same_make_it_once() -> None:
    shelf, made, start = Shelf(100), [], Barrier(8)

    def reader() -> None:
        start.wait()
        shelf.get("a", lambda: made.append(1) or b"page")  # type: ignore[func-returns-value]

    threads = [Thread(target=reader) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
