#!/bin/sh
# What the layers of the bundled network hold; run from an empty folder, with tiny-imagenet-100 unpacked in $DATA.
export OMP_NUM_THREADS=1 MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=200000000
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
FACE=gallery/Faces_easy/image_0040.jpg
SIGN=gallery/stop_sign/image_0009.jpg
FLOWER=gallery/sunflower/image_0011.jpg

convscope invert zfnet128 $FACE $SIGN --layers relu1 --layers relu2 --layers pool2 --layers relu4 --layers pool5 \
    --layers relu7 --decoders none -o invert
convscope invert zfnet128 $FACE $SIGN --layers none --descriptors uoctti --descriptors hog -o hog

# Every layer.
LAYERS=
for layer in conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2 conv3 relu3 conv4 relu4 conv5 relu5 pool5 fc6 relu6 fc7 relu7 fc8; do
    LAYERS="$LAYERS --layers $layer"
done
convscope invert zfnet128 $FACE $SIGN $FLOWER $LAYERS --decoders none --steps 100 -o layers

# As published.
convscope invert zfnet128 $FACE $SIGN --layers relu1 --layers relu2 --layers relu3 --preset mahendran --decoders none \
    -o mahendran

# The decoders: 6.5 MB in half precision, about 8 minutes of one core. They are convscope/assets/decoders/zfnet128.safetensors.
convscope train "$DATA/tiny-imagenet-100/train" --decode zfnet128 --layers pool2 --layers pool5 --layers relu7 \
    --out decoders --side 64 --set target=64 --set "maps=[128,128,64,32]" --set dense=512 \
    --exclude "$HERE/../bundled/overlap.csv" --per-class 80 --test-cap 3 --epochs 3 --batch-size 32 --lr 1.5e-3 \
    --set lr_min=3e-5 --set warmup=0.1 --set schedule=cosine --set clip=2.0 --half --accelerator cpu --cache cache

# Decoders and descent in one figure and table.
convscope invert zfnet128 $FACE $SIGN $FLOWER --layers pool2 --layers pool5 --layers relu7 \
    --steps 60 -o decoded
