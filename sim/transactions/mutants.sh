#!/bin/sh
# Shows that the judge bites: builds the simulator with each deliberate mistake of the folder `mutants` beside this script, in a copy of
# the tree, and runs seeds of the protocol that the mistake's folder names until it is found. Fails if one is not found, or does not
# build any more; the others are still tried.
#
#   sim/transactions/mutants.sh [seeds per mistake] [name of one mistake]
set -eu
seeds=${1:-50000}
only=${2:-}
root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/mutants
missed=0
for patch in "$root"/sim/transactions/mutants/*/*.patch; do
    name=$(basename "$patch" .patch)
    protocol=$(basename "$(dirname "$patch")")
    [ -z "$only" ] || [ "$only" = "$name" ] || continue
    # The working tree, not the last commit: a mistake is judged as the judge is now. The sources
    # get new times, so that cargo sees what this patch and the last one changed.
    rm -rf "$copy/tree"
    mkdir "$copy/tree"
    (cd "$root" && git ls-files -z | tar --null -T - -cf -) | tar -C "$copy/tree" -xf -
    find "$copy/tree/crates/commit/src" "$copy/tree/sim/transactions/src" -name '*.rs' -exec touch {} +
    if ! (cd "$copy/tree" && patch -s -p1 <"$patch" && RUSTFLAGS=-Awarnings cargo build -q -p ostler-sim-transactions); then
        missed=$((missed + 1))
        echo "BROKEN $name: the patch does not apply, or what it makes does not build"
        continue
    fi
    if found=$("$CARGO_TARGET_DIR/debug/sim-transactions" "$protocol" --seeds "$seeds" 2>/dev/null); then
        missed=$((missed + 1))
        echo "MISSED $name: $(echo "$found" | head -1)"
    else
        echo "caught $name: $(echo "$found" | grep -m1 '^seed')"
    fi
done
[ "$missed" -eq 0 ]
