"""Make the bundled gallery from Caltech-101: `python tools/make_gallery.py caltech101/101_ObjectCategories`.

Three held-out pictures of each of the 101 categories, and twelve frontal, aligned faces, at the size the bundled
network resizes to. Held out are those that the 30-per-class split of seed 0, which the network is tuned on, leaves.
"""

import argparse
from pathlib import Path

from PIL import Image

from convscope.data.picture_set import Pictures
from convscope.data.preprocess import margin
from convscope.data.sources import images
from convscope.data.splits import per_class
from convscope.pictures import GALLERY

EACH = 3
MORE = {"Faces_easy": 12}  # faces whose eyes and nose lie at nearly the same place, for occlusion and correspondence
SIDE = margin(128)
QUALITY = 85  # 300 pictures stay below 4 MB


def chosen(pictures: Pictures) -> list[int]:
    """Held-out pictures spread over each category's, since neighbours are often of one scene or person."""
    labels, classes = pictures.labels or [], pictures.classes or ()
    split = per_class(labels, 30, seed=0, classes=classes)
    picks = []
    for label, name in enumerate(classes):
        held_out = [place for place in split.test if labels[place] == label]
        count = min(MORE.get(name, EACH), len(held_out))
        picks += [held_out[(2 * k + 1) * len(held_out) // (2 * count)] for k in range(count)]
    return picks


def resized(image: Image.Image) -> Image.Image:
    """Shortest side 146, as the network's transform has it (T1), so that it need not resize again."""
    scale = SIDE / min(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)


def main() -> None:
    """Write the gallery and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("categories", type=Path, help="Caltech-101's folder of categories")
    parser.add_argument("--out", type=Path, default=GALLERY)
    given = parser.parse_args()
    pictures = images(given.categories).without("BACKGROUND_Google")
    if given.out.exists():
        raise SystemExit(f"error: {given.out} is there already: remove it first, or name another with --out")
    total = 0
    for place in chosen(pictures):
        file = given.out / pictures.paths[place]
        file.parent.mkdir(parents=True, exist_ok=True)
        resized(pictures.picture(place)).save(file, "JPEG", quality=QUALITY, optimize=True)
        total += file.stat().st_size
    made = images(given.out)
    print(f"{given.out}: {len(made)} pictures of {len(made.classes or ())} categories, {total / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
