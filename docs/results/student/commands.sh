#!/bin/sh
# How the student convnets were trained; run from an empty folder, with tiny-imagenet-100 unpacked in $DATA.
export OMP_NUM_THREADS=1
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
TINY=$DATA/tiny-imagenet-100/train

# M5 on scikit-learn's digits: 140 of each to train on, the other 397 to test.
convscope train digits --out m5-A --architecture m5 --per-class 140 --epochs 40
convscope train digits --out m5-C --architecture m5 --set option=C --per-class 140 --epochs 40

# M6 on five classes of tiny-imagenet-100: 400 of each to train on, 100 to test.
mkdir -p five
for pair in goldfish:n01443537 german-shepherd:n02106662 orange:n07747607 albatross:n02058221 \
    american-alligator:n01698640; do
    ln -sfn "$TINY/${pair#*:}" "five/${pair%:*}"
done
convscope train five --out m6 --architecture m6 --per-class 400 --test-cap 100

python "$HERE/table.py" .
