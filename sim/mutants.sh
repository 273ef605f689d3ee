#!/bin/sh
# Shows that the checkers bite: builds the simulator with each deliberate mistake of sim/mutants, in a copy of the tree, and explores
# until it is found. Fails if one is not found in time, or does not build any more; the others are still tried.
#
#   sim/mutants.sh [seconds per mistake] [name of one mistake]
set -eu
seconds=${1:-60}
only=${2:-}
root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/mutants
mkdir -p "$CARGO_TARGET_DIR"
# Most of the time goes into building: what is built again for each mistake is optimised less.
export CARGO_INCREMENTAL=1 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=64
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=0
# The files that a patch changed in what was built last.
patched=$CARGO_TARGET_DIR/patched
missed=0
for patch in "$root"/sim/mutants/*.patch; do
    name=$(basename "$patch" .patch)
    [ -z "$only" ] || [ "$only" = "$name" ] || continue
    # The working tree, not the last commit: a mistake is judged by the checkers as they are now.
    # Files keep their times, so that only what changes is built again: what this patch touches, and
    # what was built with an earlier one.
    rm -rf "$copy/tree"
    mkdir "$copy/tree"
    (cd "$root" && git ls-files -z | tar --null -T - -cf -) | tar -C "$copy/tree" -xf -
    sed -n 's|^+++ b/||p' "$patch" >>"$patched"
    if ! (cd "$copy/tree" && xargs touch -c <"$patched" && patch -s -p1 <"$patch" &&
        cargo build -q --release -p ostler-sim); then
        missed=$((missed + 1))
        echo "BROKEN $name: the patch does not apply, or what it makes does not build"
        continue
    fi
    sed -n 's|^+++ b/||p' "$patch" >"$patched"
    if found=$("$CARGO_TARGET_DIR/release/sim" --seconds "$seconds" 2>/dev/null); then
        missed=$((missed + 1))
        echo "MISSED $name: $found"
    else
        echo "caught $name: $(echo "$found" | grep -m1 '^seed')"
    fi
done
[ "$missed" -eq 0 ]
