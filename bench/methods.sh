#!/usr/bin/env bash
# Compares reads at a server inside of Python, with methods of four kinds, with those at `ostler serve`,
# in turn in one run: CONNECTIONS connections, DEPTH operations under way on each.
#
#   ROUNDS=5 SECONDS_EACH=3 DEPTH=16 CONNECTIONS=4     rounds, their length, the load
#   PYTHON=python3                                     has zoo_server, as `pip install ./python` builds it
#
# Wants a release build: cargo build --release -p ostler-cli. Have nothing else run. Data are in
# DIR=/var/tmp/ostler-methods, which is emptied first; the servers listen on PORT=22281 and on.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=${DIR:-/var/tmp/ostler-methods}
port=${PORT:-22281}
ostler=${OSTLER:-"$here/target/release/ostler"}
python=${PYTHON:-python3}
kinds="elsewhere asked answers awaits"

rm -rf "$dir"
mkdir -p "$dir"
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait' EXIT

"$ostler" serve --data-dir "$dir/plain" --client-port "$port" -Dadmin.enableServer=false >"$dir/plain.log" 2>&1 &
plain=$!
pids+=("$plain")
at=$port
declare -A servers
for kind in $kinds; do
  at=$((at + 1))
  "$python" "$here/bench/methods.py" "$kind" "$at" "$dir/$kind" >"$dir/$kind.log" 2>&1 &
  pids+=("$!")
  servers[$kind]="$at:$!"
done
for number in $(seq "$port" "$at"); do
  until "$ostler" shell -s "127.0.0.1:$number" ls / >/dev/null 2>&1; do sleep 0.2; done
done

for kind in $kinds; do
  echo "== get, a method that is: $kind (against ostler serve)"
  "$ostler" bench get -s "127.0.0.1:${servers[$kind]%:*}" --server-pid "${servers[$kind]#*:}" \
    --against "127.0.0.1:$port" --against-pid "$plain" --connections "${CONNECTIONS:-4}" --depth "${DEPTH:-16}" \
    --seconds "${SECONDS_EACH:-3}" --rounds "${ROUNDS:-5}"
done
