#!/bin/sh
# How the optima of docs/results/maximize were made; run from an empty folder, tiny-imagenet-100 unpacked in $DATA.
# OTHERS: further networks to show class optima to, NAME=FILE each (which ones they were here: see README.md).
export OMP_NUM_THREADS=1
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
TINY=$DATA/tiny-imagenet-100/train

# The student paper's network on five classes, as in ../student/commands.sh.
mkdir -p five
for pair in goldfish:n01443537 german-shepherd:n02106662 orange:n07747607 albatross:n02058221 \
    american-alligator:n01698640; do
    ln -sfn "$TINY/${pair#*:}" "five/${pair%:*}"
done
[ -e m6/network.safetensors ] || convscope train five --out m6 --architecture m6 --per-class 400 --test-cap 100

# METHODS P5: its Figure 4.2, from noise with five seeds, and from class means; then both ways of P3.
convscope maximize m6/network.safetensors goldfish orange --preset normalised --seeds 5 -o p5-noise
convscope maximize m6/network.safetensors goldfish orange --preset normalised --start class-mean --images five -o p5-mean
convscope maximize m6/network.safetensors goldfish orange --preset literal -o p5-literal
# The same with frequencies and decorrelated colours: what the network's own holes leave of a picture made otherwise.
convscope maximize m6/network.safetensors goldfish orange --steps 48 -o p5-fourier

# METHODS P3, P4: its Figure 3.3 on the bundled network.
THREE="stop_sign sunflower Leopards"
convscope maximize zfnet128 $THREE --preset normalised --seeds 5 -o p3-noise
convscope maximize zfnet128 $THREE --preset normalised --start class-mean --images gallery -o p3-mean
convscope maximize zfnet128 $THREE --preset literal --start noise --start class-mean --images gallery -o p3-literal

# METHODS P2: all channels of every layer.
for layer in relu1 relu2 relu3 relu4 relu5; do
    convscope maximize zfnet128 "$layer:*" --preset channel -o "p2-$layer"
done

# Optima of all classes.
CLASSES=$(python -c 'import convscope; print(*convscope.load("zfnet128").classes)')
convscope maximize zfnet128 $CLASSES --steps 48 -o classes

# Another network, with seeds of its own for its start, its pre-training and its tuning, at 64 pixels; half an hour.
CALTECH=$DATA/caltech101/101_ObjectCategories
[ -e other-pre/network.safetensors ] || convscope train "$TINY" --out other-pre --validation "$DATA/tiny-imagenet-100/val" \
    --exclude "$HERE/../bundled/overlap.csv" --architecture zfnet128 --recipe scaled --side 64 --per-class 150 --epochs 8 \
    --batch-size 64 --lr 0.025 --set lr_min=0.0005 --set warmup=0.3 --set dropout=0.3 --seed 7 --validate-every 4
[ -e other/network.safetensors ] || convscope train "$CALTECH" --out other --per-class 30 --exclude BACKGROUND_Google \
    --architecture zfnet128 --recipe scaled --side 64 --epochs 20 --batch-size 32 --lr 0.012 --set warmup=0.5 \
    --set dropout=0.4 --set label_smoothing=0.1 --set crops=scale --set area=0.5 --set jitter=0.1 --seed 8 \
    --validate-every 10 --init-from other-pre/network.safetensors --name other-seed-64 --half

python "$HERE/table.py" . other-seed-64=other/network.safetensors $OTHERS
