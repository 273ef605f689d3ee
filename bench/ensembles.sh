#!/usr/bin/env bash
# Measures ensembles of three, all on this machine, against Apache ZooKeeper's: the rows of docs/performance.md.
#
#   bench/ensembles.sh [ROW …]        rows: get set create set-1 set-one-at-leader set-one-at-follower mix; default: all
#
#   ENGINES="raft paxos floor"        what is measured, one after the other; each in turn with ZooKeeper, round by round
#   ROUNDS=5 SECONDS_EACH=3           rounds of each, and their length
#
# Wants a release build (cargo build --release -p ostler-cli -p ostler-bench), java and mvn. Have nothing else run. See servers.sh
# for where data and ports are.
set -euo pipefail
# shellcheck source=bench/servers.sh
. "$(dirname "$0")/servers.sh"

engines=${ENGINES:-raft paxos floor}
rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-3}
rows=${*:-get set create set-1 set-one-at-leader set-one-at-follower mix}

# arguments ROW: those of `ostler bench`.
arguments() {
  case $1 in
    get) echo get --depth 16 ;;
    set) echo set --depth 16 ;;
    create) echo create --depth 16 ;;
    set-1) echo set --depth 1 ;;
    set-one-at-*) echo set --depth 1 --connections 1 ;;
    mix) echo mix:get=90,set=10 --depth 16 ;;
    *) echo "no row is called $1" >&2; exit 2 ;;
  esac
}

# servers_for ROW NAME OFFSET: where its clients connect. With one connection it matters who leads, and chance decides that.
servers_for() {
  local leader=1
  case $1 in
    set-one-at-*) [ "$2" = floor ] || leader=$(leader "$3") ;;
  esac
  case $1 in
    set-one-at-leader) echo "127.0.0.1:$(($3 + leader))" ;;
    set-one-at-follower) echo "127.0.0.1:$(($3 + leader % 3 + 1))" ;;
    *) addresses "$3" ;;
  esac
}

# warm_up OFFSET: Java compiles while it runs, and a new log has to be filled with zeros until there are old segments to be used again.
warm_up() {
  local row
  for row in get set create; do
    # shellcheck disable=SC2046
    "$ostler" bench $(arguments "$row") --server "$(addresses "$1")" --seconds 8 >/dev/null
  done
}

configure zookeeper "$base"
start zookeeper "$base"
zookeeper_pids=("${started_pids[@]}")
await "$base"
warm_up "$base"
offset=$base
for engine in $engines; do
  offset=$((offset + 10))
  [ "$engine" = floor ] || configure "$engine" "$offset"
  start "$engine" "$offset"
  engine_pids=("${started_pids[@]}")
  if [ "$engine" = floor ]; then sleep 1; else await "$offset"; fi
  warm_up "$offset"
  for row in $rows; do
    echo "== $engine against ZooKeeper: $row"
    # shellcheck disable=SC2046
    "$ostler" bench $(arguments "$row") --seconds "$seconds" --rounds "$rounds" \
      --server "$(servers_for "$row" "$engine" "$offset")" --server-pid "$(join "${engine_pids[@]}")" \
      --against "$(servers_for "$row" zookeeper "$base")" --against-pid "$(join "${zookeeper_pids[@]}")"
  done
  end "${engine_pids[@]}"
done
