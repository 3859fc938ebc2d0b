#!/bin/sh
# The strongest pictures of the bundled network's maps among pictures it was not trained on (METHODS F2); run from an
# empty folder, with Caltech-101 unpacked in $DATA.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
set -eu

# The 2,945 test pictures of ../bundled, as links.
python - "$DATA/caltech101/101_ObjectCategories" <<'END'
import sys
from pathlib import Path
from convscope.training.choose import choose

root = Path(sys.argv[1])
for path in choose(root, per_class=30, exclude=["BACKGROUND_Google"])[1].paths:
    link = Path("held-out") / path
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(root / path)
END

convscope atlas zfnet128 held-out -o atlas
convscope figure2 atlas --layers relu1 --layers relu2 --layers relu3 --layers relu4 --layers relu5 --maps 16 -o figure2
