#!/bin/sh
# Which combinations of the bundled network's filters encode concepts, of photographs and of drawn pictures (N2-N4).
set -eu
convscope net2vec zfnet128 gallery --out photographs
convscope net2vec zfnet128 drawn:480 --out net2vec
