#!/bin/sh
# Features for Caltech-101: run from an empty folder, with the data set unpacked in $DATA. One thread, float32, a CPU.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
export OMP_NUM_THREADS=1
NETWORK=$HERE/../bundled/pretrained-112.safetensors
CALTECH=$DATA/caltech101/101_ObjectCategories

convscope transfer "$NETWORK" "$CALTECH" --cache cache --no-hog -o curve \
    --train 1 --train 2 --train 3 --train 4 --train 5 --train 6 --train 8 --train 10 --train 15 --train 30
convscope transfer "$NETWORK" "$CALTECH" --cache cache --train 15 --train 20 --train 30 -o hog
convscope transfer "$NETWORK" "$CALTECH" --cache cache --no-hog --train 15 --train 30 --scratch 15 --scratch 30 \
    --scratch-folds 5 -o scratch  # a training every fold: nine minutes a core
