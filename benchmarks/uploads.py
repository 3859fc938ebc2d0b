"""What the app needs when eight pictures of 49 megapixels are brought at once: `python benchmarks/uploads.py`.

Serves a small atlas of the bundled network from a process of its own, sends it eight files of one kind from eight
threads, looks at each of them under the lens, and prints the most memory the process has taken, kind by kind.
"""

import io
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from convscope.atlases.build import atlas as build
from convscope.data.sources import images
from convscope.models.catalog import load

SIDE, COUNT, LIMIT = 7000, 8, 1024  # 49 megapixels; uploads at once; MiB
TURNED = 6  # EXIF's orientation of a camera held upright
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {  # name: Pillow's mode, format and options
    "JPEG": ("RGB", "JPEG", {}),
    "JPEG, turned": ("RGB", "JPEG", {"turned": True}),
    "JPEG, CMYK": ("CMYK", "JPEG", {}),
    "PNG": ("RGB", "PNG", {"compress_level": 1}),
    "PNG, alpha": ("RGBA", "PNG", {"compress_level": 1}),
    "PNG, alpha, turned": ("RGBA", "PNG", {"compress_level": 1, "turned": True}),
    "PNG, 16 bits": ("I;16", "PNG", {"compress_level": 1}),
    "TIFF, floating point": ("F", "TIFF", {"compression": "tiff_lzw"}),
    "WebP": ("RGB", "WEBP", {"method": 0}),
}


def encoded(mode: str, kind: str, turned: bool = False, **options: Any) -> bytes:
    """A smooth picture: few bytes, many pixels."""
    ramp = np.linspace(0, 255, SIDE).astype(np.uint8)
    grey = Image.fromarray(np.broadcast_to(ramp, (SIDE, SIDE)))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    else:
        image = grey.convert("RGB").convert(mode) if mode != "F" else grey.convert("F")
    exif = image.getexif()
    if turned:
        exif[274] = TURNED
    file = io.BytesIO()
    image.save(file, kind, exif=exif, **options)
    return file.getvalue()


def peak(process: int) -> int:
    """MiB of a process at most."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def measured(folder: Path, data: bytes | None) -> tuple[int, set[int]]:
    """The server's peak after eight uploads of the same file (None: of nothing), and the statuses of its answers."""
    command = [sys.executable, "-m", "convscope.cli", "view", str(folder), "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        home = server.stdout.readline().split()[0]

        def bring(_: int) -> list[int]:
            with httpx.Client(base_url=home, timeout=600, follow_redirects=True) as client:
                if data is None:
                    return [client.get("/").status_code]
                answer = client.post("/pictures/", files={"picture": ("large", data)})
                return [step.status_code for step in (*answer.history, answer)]

        with ThreadPoolExecutor(COUNT) as readers:
            statuses = {status for found in readers.map(bring, range(COUNT)) for status in found}
        most = peak(server.pid)
        server.terminate()
    return most, statuses


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        build(load("zfnet128"), images("gallery").subset(range(32)), folder, ["relu5"])
        print(f"{'without a picture':24} {measured(Path(folder), None)[0]:6} MiB")
        for name, (mode, kind, options) in KINDS.items():
            data = encoded(mode, kind, **options)
            most, statuses = measured(Path(folder), data)
            print(f"{name:24} {most:6} MiB  {len(data) >> 20:3} MiB a file, answers {sorted(statuses)}", flush=True)
            if most > LIMIT:
                print(f"{name}: more than {LIMIT} MiB")


if __name__ == "__main__":
    main()
