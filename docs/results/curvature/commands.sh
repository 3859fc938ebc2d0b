#!/bin/sh
# How well a quadratic form describes units of the bundled network around their optima (METHODS A5); 4 minutes of one core.
set -eu
convscope curvature zfnet128 conv1:0 conv2:0 conv3:0 conv4:0 conv5:0 fc8:0 conv1:16 conv2:32 conv3:48 conv4:48 conv5:32 fc8:25 \
    conv1:32 conv2:64 conv3:96 conv4:96 conv5:64 fc8:50 conv1:48 conv2:96 conv3:144 conv4:144 conv5:96 fc8:75 --shown 6 \
    --out curvature
