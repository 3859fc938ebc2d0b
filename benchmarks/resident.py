"""How much memory a process takes."""

import subprocess
import sys
from pathlib import Path


def resident(which: str = "VmHWM") -> float:
    """MiB of this process at most ("VmHWM") or now ("VmRSS"); `getrusage` inherits its peak from the parent."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split(f"{which}:")[1].split()[0]) / 1024


def peaks(script: str, counts: tuple[int, int]) -> tuple[float, float]:
    """What a script prints as its own peak when it is asked for a few pictures, and for many."""
    few, many = (float(subprocess.check_output([sys.executable, script, "--peak", str(count)])) for count in counts)
    return few, many
