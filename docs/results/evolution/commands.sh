#!/bin/sh
# How a ZFNet's features form over 64 epochs (METHODS F4); run from an empty folder, tiny-imagenet-100 in $DATA.
#
# 10,000 pictures of 64 pixels, 100 of each class. Killed, it goes on from its last finished epoch with --resume.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=200000000
set -eu
TINY=$DATA/tiny-imagenet-100

convscope train "$TINY/train" --out run --architecture zfnet128 --recipe scaled --side 64 \
    --per-class 100 --test-cap 20 --epochs 64 --lr 0.03 --set dropout=0.3 --set lr_min=0.0003 \
    --snapshots 1,2,5,10,20,30,40,64 --validate-every 8 --cache cache --name zfnet-64 ${RESUME:+--resume}

convscope evolution run "$TINY/train" --out evolution --sample 10000
