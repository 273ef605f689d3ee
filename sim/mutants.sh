#!/bin/sh
# Shows that the checkers bite: builds the simulator with each deliberate mistake of sim/mutants, in a copy of the tree, and explores
# until it is found. Fails if one is not found in time.
#
#   sim/mutants.sh [seconds per mistake] [name of one mistake]
set -eu
seconds=${1:-60}
only=${2:-}
root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/mutants
missed=0
for patch in "$root"/sim/mutants/*.patch; do
    name=$(basename "$patch" .patch)
    [ -z "$only" ] || [ "$only" = "$name" ] || continue
    # The working tree, not the last commit: a mistake is judged by the checkers as they are now. Files keep their times, so that only
    # what a patch touches is built again; what another one has touched before is as good as changed.
    rm -rf "$copy/tree"
    mkdir "$copy/tree"
    (cd "$root" && git ls-files -z | tar --null -T - -cf -) | tar -C "$copy/tree" -xf -
    (cd "$copy/tree" && sed -n 's|^+++ b/||p' "$root"/sim/mutants/*.patch | xargs touch && patch -s -p1 <"$patch")
    (cd "$copy/tree" && cargo build -q -p ostler-sim)
    if found=$("$CARGO_TARGET_DIR/debug/sim" --seconds "$seconds" 2>/dev/null); then
        missed=$((missed + 1))
        echo "MISSED $name: $found"
    else
        echo "caught $name: $(echo "$found" | grep -m1 '^seed')"
    fi
done
[ "$missed" -eq 0 ]
