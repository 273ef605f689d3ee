#!/usr/bin/env bash
# Compares the client library with the load generator's own loop and with the crate
# `zookeeper-client`: one connection, DEPTH operations under way, round by round in one run. Prints
# operations a second and CPU of the client for each operation.
#
#   ROUNDS=5 SECONDS_EACH=3 DEPTH=16   rounds, their length, operations under way
#   WORKLOADS="get set"                what clients do
#
# Wants release builds:
#   cargo build --release -p ostler-cli
#   cargo build --release -p ostler-client --example throughput
# Have nothing else run. Data are in DIR=/var/tmp/ostler-clients, which is emptied first; the server
# listens on PORT=22181.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=${DIR:-/var/tmp/ostler-clients}
port=${PORT:-22181}
rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-3}
depth=${DEPTH:-16}
ostler="$here/target/release/ostler"
throughput="$here/target/release/examples/throughput"

source "$here/bench/one-server.sh"
serve_one "$ostler" "$dir" "$port"

# generator WORKLOAD: the load generator, in the form of the others.
generator() {
  "$ostler" bench "$1" -s "127.0.0.1:$port" --connections 1 --depth "$depth" --seconds "$seconds" \
    --paths 1 --json |
    python3 -c 'import json, sys
row = json.load(sys.stdin)["sides"][0]["rounds"][0]
print("%.0f operations/s, %.3f us of CPU each" % (row["operations_per_second"],
      row["generator_cpu_per_operation_us"]))'
}

for workload in ${WORKLOADS:-get set}; do
  for round in $(seq "$rounds"); do
    echo "$workload $round generator: $(generator "$workload")"
    for client in ostler zookeeper-client; do
      echo "$workload $round $client: $("$throughput" "$client" "127.0.0.1:$port" "$workload" "$depth" "$seconds")"
    done
  done
done
