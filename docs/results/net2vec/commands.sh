#!/bin/sh
# Which combinations of the bundled network's filters encode the concepts of drawn pictures (METHODS N2-N4).
set -eu
convscope net2vec zfnet128 drawn:480 --out net2vec
