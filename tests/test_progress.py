import io

import pytest

from convscope.progress import listened, progress, silenced


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, quiet: bool) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with silenced(quiet), progress(4, "scanning") as advance:
        advance(3)
        advance(1)
    return stream.getvalue()


def test_a_terminal_sees_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    text = run(monkeypatch, Terminal(), quiet=False)
    assert "scanning" in text
    assert "4/4" in text


def test_a_pipe_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, io.StringIO(), quiet=False) == ""


def test_quiet_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, Terminal(), quiet=True) == ""


def test_a_block_within_a_silenced_one_stays_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    with silenced():
        assert run(monkeypatch, Terminal(), quiet=False) == ""


@pytest.mark.parametrize("quiet", [False, True])
def test_a_listener_hears_of_every_step(monkeypatch: pytest.MonkeyPatch, quiet: bool) -> None:
    heard: list[tuple[str, int, int | None]] = []
    with listened(lambda *step: heard.append(step)):
        text = run(monkeypatch, Terminal(), quiet)
    run(monkeypatch, Terminal(), quiet)  # outside: nobody listens
    assert heard == [("scanning", 0, 4), ("scanning", 3, 4), ("scanning", 4, 4)]
    assert ("4/4" in text) is not quiet
