#!/bin/sh
# How the optima of docs/results/maximize were made; run from an empty folder, tiny-imagenet-100 unpacked in $DATA.
# OTHERS: networks of other trainings, NAME=FILE each (which ones they were here: see README.md).
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
convscope maximize zfnet128 $THREE --preset normalised --steps 100 --seeds 5 -o p3-noise
convscope maximize zfnet128 $THREE --preset normalised --steps 100 --start class-mean --images gallery -o p3-mean
convscope maximize zfnet128 $THREE --preset literal --steps 100 --start noise --start class-mean --images gallery \
    -o p3-literal

# METHODS P2: sixteen channels of every layer.
for layer in relu1 relu2 relu3 relu4 relu5; do
    units=$(for k in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do echo "$layer:$((k * 4))"; done)
    convscope maximize zfnet128 $units --preset channel -o "p2-$layer"
done

# Optima of every fourth class, shown to other networks.
CLASSES=$(python -c 'import convscope; print(*convscope.load("zfnet128").classes[::4])')
convscope maximize zfnet128 $CLASSES --steps 48 -o classes

python "$HERE/table.py" . $OTHERS
