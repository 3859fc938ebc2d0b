#!/bin/sh
# What the bundled network's units detect in photographs and in drawn pictures (METHODS N1).
set -eu
convscope dissect zfnet128 gallery --rotations 3 --out photographs
convscope dissect zfnet128 drawn:480 --rotations 3 --out dissect
