"""What a killed process left is cleared away; what anybody still uses is not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from convscope.disk.scratch_dirs import clear, hold, release

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs locks of Unix")


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


def test_only_what_nobody_holds_is_cleared(tmp_path: Path) -> None:
    mine, left, other = (made(tmp_path / name) for name in (".job-1", ".job-2", "project"))
    hold(mine)
    hold(mine)
    clear(tmp_path, ".job-*")
    assert (mine.exists(), left.exists(), other.exists()) == (True, False, True)
    release(mine)
    assert not mine.exists()
    release(mine)


def test_a_link_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / ".job-1").symlink_to(made(tmp_path / "precious"))
    (tmp_path / ".job-2").write_text("no folder")
    clear(tmp_path, ".job-*")
    assert (tmp_path / "precious" / "half.png").exists()


def test_a_folder_that_became_a_result_stays(tmp_path: Path) -> None:
    part = made(tmp_path / ".job-1")
    hold(part)
    kept = part.rename(tmp_path / "001")
    release(part)
    clear(tmp_path, ".job-*")
    assert (kept / "half.png").exists()


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
