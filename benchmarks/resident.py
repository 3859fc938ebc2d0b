"""How much memory a process takes."""

from pathlib import Path


def resident(which: str = "VmHWM") -> float:
    """MiB of this process at most ("VmHWM") or now ("VmRSS"); `getrusage` inherits its peak from the parent."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split(f"{which}:")[1].split()[0]) / 1024
