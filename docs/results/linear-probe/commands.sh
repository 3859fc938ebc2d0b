#!/bin/sh
# Linear classifiers on every layer of the pre-trained network (METHODS TB7): run from an empty folder, with Caltech-101
# unpacked in $DATA. One thread, float32, a CPU: about 20 minutes; features and finished folds stay in cache/.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
export OMP_NUM_THREADS=1

convscope linear-probe "$HERE/../bundled/pretrained-112.safetensors" "$DATA/caltech101/101_ObjectCategories" \
    --cache cache -o linear-probe
