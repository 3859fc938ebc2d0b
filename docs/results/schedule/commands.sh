#!/bin/sh
# A plateau schedule against a cosine, with filters renormalised and without (METHODS T5, T6, T9), and ZFNet without
# contrast normalisation (M9); run from an empty folder, tiny-imagenet-100 in $DATA.
#
# All as in ../ablate, whose cache, linked here as cache/, spares the training that is the same. Five trainings.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=200000000
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)

alike() {
    convscope ablate "$DATA/tiny-imagenet-100/train" --validation "$DATA/tiny-imagenet-100/val" --side 64 --width 0.25 \
        --units 0.125 --per-class 100 --recipe scaled --epochs 12 --settings batch_size=16 --settings lr=0.01 \
        --settings dropout=0.3 --sample 5000 --cache cache --device cpu "$@"
}

for schedule in plateau cosine; do
    for radius in none 0.1; do
        alike --variants zfnet --settings "schedule=$schedule" --settings "radius=$radius" --out "$schedule-$radius"
    done
done
alike --variants zfnet --variants "zfnet:norm=false" --out normalisation

python "$HERE/table.py" .
