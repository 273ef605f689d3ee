#!/usr/bin/env bash
# Measures how fast one member of an ensemble of three is there again after kill -9: from the start of its process until it has
# everything agreed on and answers a client.
#
#   bench/members.sh [ROW …]          rows: rejoin (100,000 writes missed), start (with 1 M znodes, nothing missed); default: both
#
#   ENGINES="raft paxos zookeeper"    what is measured, one after the other
#   ROUNDS=5                          times each
#
# Wants a release build (cargo build --release -p ostler-cli), java and mvn. Have nothing else run. See servers.sh for where data and
# ports are.
set -euo pipefail
# shellcheck source=bench/servers.sh
. "$(dirname "$0")/servers.sh"

engines=${ENGINES:-raft paxos zookeeper}
rounds=${ROUNDS:-5}
rows=${*:-rejoin start}

# kill_follower OFFSET: kills one that does not lead, and sets victim to its number.
kill_follower() {
  for victim in 1 2 3; do
    if ! "$ostler" status --json -s "127.0.0.1:$(($1 + victim))" | grep '"role": *"leader"' >/dev/null; then
      kill -9 "${engine_pids[$((victim - 1))]}"
      wait "${engine_pids[$((victim - 1))]}" 2>/dev/null || true
      return
    fi
  done
}

# others OFFSET: the client addresses of those that are left.
others() {
  local server left=()
  for server in 1 2 3; do
    [ "$server" = "$victim" ] || left+=("127.0.0.1:$(($1 + server))")
  done
  join "${left[@]}"
}

# launch NAME OFFSET: measures the start of the victim, and sets took to its seconds; `ostler bench` stops it again, so it is started
# once more for what follows.
launch() {
  set_command "$1" "$2" "$victim"
  took=$("$ostler" bench start --rounds 1 --json --server "127.0.0.1:$(($2 + victim))" \
    --start-command "$(printf '%q ' "${command[@]}")" |
    awk '/"latency_max_us": [0-9]/ { printf "%.2f", $2 / 1e6 }')
  "${command[@]}" >>"$dir/$1-$victim.out" 2>&1 &
  engine_pids[victim - 1]=$!
  pids+=($!)
}

offset=$base
for engine in $engines; do
  offset=$((offset + 10))
  configure "$engine" "$offset"
  start "$engine" "$offset"
  engine_pids=("${started_pids[@]}")
  await "$offset"
  for row in $rows; do
    if [ "$row" = start ]; then
      "$ostler" bench exists --preload 1000000 --keep --seconds 1 --server "$(addresses "$offset")" >/dev/null 2>&1
    fi
    for round in $(seq 1 "$rounds"); do
      kill_follower "$offset"
      if [ "$row" = rejoin ]; then
        "$ostler" bench set --depth 16 --rate 50000 --warmup 0 --seconds 2 --server "$(others "$offset")" >/dev/null
      fi
      launch "$engine" "$offset"
      echo "$engine $row $round: $took s"
      sleep 3
    done
  done
  end "${engine_pids[@]}"
done
