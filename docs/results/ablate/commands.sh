#!/bin/sh
# Table 3 at small scale (METHODS M3, TB3), and ensembles of what was trained (M4, TB2); run from an empty folder,
# tiny-imagenet-100 in $DATA, this folder as $HERE.
#
# Whatever has been trained stays in cache/, so killed at any moment and started again it goes on where it was. The
# twelve variants with one seed come first; then the bases and the four-layer network with two more.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=200000000
set -eu

alike() {
    convscope ablate "$DATA/tiny-imagenet-100/train" --validation "$DATA/tiny-imagenet-100/val" --side 64 --width 0.25 \
        --units 0.125 --recipe scaled --epochs 8 --settings batch_size=16 --settings lr=0.01 \
        --settings dropout=0.3 --sample 5000 --cache cache --device cpu "$@"
}

alike --out ablate
alike --seeds 3 --repeated zfnet --repeated alexnet --repeated alexnet-without-3-4-6-7 --out ablate

# Five networks as (a), a wide one beside them as (b): seeds and widths of what is there, in place of five seeds.
python "$HERE/ensembles.py" cache "$DATA/tiny-imagenet-100/val" ensembles

# Then ablate/ and ensembles/ go beside this file, and `python table.py` there writes README.md.
