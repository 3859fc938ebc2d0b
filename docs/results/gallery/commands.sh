#!/bin/sh
# What the bundled network makes of the bundled pictures (METHODS F2, F5, F7, P2, P6), and the student paper's of a digit
# (P1). Run from an empty folder; twenty minutes of one core.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)

convscope atlas zfnet128 gallery -o atlas
convscope figure2 atlas --layers relu1 --layers relu2 --layers relu3 --layers relu4 --layers relu5 --maps 16 -o figure2

# A half turn brings yin-yang and accordion nearly back.
convscope invariance zfnet128 gallery/stop_sign/image_0009.jpg gallery/dollar_bill/image_0004.jpg \
    gallery/Faces_easy/image_0040.jpg gallery/yin_yang/image_0011.jpg gallery/accordion/image_0009.jpg -o invariance

# Every twelfth picture; and the faces, of which it is known where they are.
PICTURES=$(python -c 'import convscope; print(*("gallery/" + path for path in convscope.images("gallery").paths[::12]))')
convscope occlude zfnet128 $PICTURES --stride 6 -o occlude
FACES=$(python -c 'import convscope; print(*("gallery/" + path for path in convscope.images("gallery").paths if "_easy/" in path))')
convscope occlude zfnet128 $FACES --stride 6 -o faces

convscope redundancy zfnet128 gallery -o redundancy

# Thirty-two channels of every layer, from noise.
for layer in relu1 relu2 relu3 relu4 relu5; do
    UNITS=$(for k in $(seq 0 2 62); do echo "$layer:$k"; done)
    convscope maximize zfnet128 $UNITS --preset channel --no-curves -o "channels-$layer"
done

# The first 7 of scikit-learn's digits.
[ -e m5/network.safetensors ] || convscope train digits --out m5 --architecture m5 --per-class 140 --epochs 40
python -c 'import convscope; convscope.images("digits").picture(7).save("seven.png")'
convscope activations m5/network.safetensors seven.png -o digit

python "$HERE/table.py" .
