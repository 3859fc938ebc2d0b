"""What a killed process left is cleared away; what anybody still uses is not, nor what somebody else made."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from convscope.disk.scratch_dirs import LOCK, clear, hold, release

HOLD = """
import sys, time
from pathlib import Path
from convscope.disk.scratch_dirs import hold
hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def made(folder: Path) -> Path:
    folder.mkdir()
    (folder / "half.png").write_bytes(b"")
    return folder


def left(folder: Path) -> Path:
    """A folder as a killed process leaves it."""
    (made(folder) / LOCK).write_text("")
    return folder


def test_only_what_was_held_and_nobody_holds_is_cleared(tmp_path: Path) -> None:
    held, old, other, foreign = (tmp_path / name for name in (".job-1", ".job-2", "project", ".job-applications"))
    made(held), left(old), left(other), made(foreign)
    hold(held)
    hold(held)
    clear(tmp_path, ".job-*")
    assert [folder.exists() for folder in (held, old, other, foreign)] == [True, False, True, True]
    release(held)
    assert not held.exists()
    release(held)
    release(foreign)
    assert foreign.exists()


def test_a_link_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / ".job-1").symlink_to(left(tmp_path / "precious"))
    (tmp_path / ".job-2").write_text("no folder")
    clear(tmp_path, ".job-*")
    assert (tmp_path / "precious" / "half.png").exists()


def test_what_was_moved_out_of_it_stays(tmp_path: Path) -> None:
    part = made(tmp_path / ".job-1")
    hold(part)
    moved = made(part / "result").rename(tmp_path / "001")
    release(part)
    clear(tmp_path, ".job-*")
    assert (moved / "half.png").exists()
    assert not part.exists()


def test_the_lock_goes_with_the_process(tmp_path: Path) -> None:
    held = made(tmp_path / ".job-1")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(held)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        clear(tmp_path, ".job-*")
        assert held.exists()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        clear(tmp_path, ".job-*")
        assert not held.exists()
