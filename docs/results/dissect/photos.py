"""Links to photographs of Caltech-101: python photos.py 101_ObjectCategories OUT 10.

Up to so many of each class (the background is none), spread over those that the bundled network was not tuned on.
"""

import sys
from pathlib import Path

from convscope.data.sources import images
from convscope.data.splits import per_class


def main(source: Path, out: Path, count: int) -> None:
    """Make OUT/CLASS/FILE for each."""
    pictures = images(source).without("BACKGROUND_Google")
    labels, classes = pictures.labels or [], pictures.classes or ()
    held_out = per_class(labels, 30, seed=0, classes=classes).test
    for label, name in enumerate(classes):
        own = [place for place in held_out if labels[place] == label]
        (out / name).mkdir(parents=True, exist_ok=True)
        for k in range(min(count, len(own))):
            path = pictures.paths[own[k * len(own) // min(count, len(own))]]
            (out / path).symlink_to((source / path).resolve())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
