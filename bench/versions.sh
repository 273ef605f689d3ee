#!/usr/bin/env bash
# Compares two builds of Ostler in the same run, round by round: another one (first) and that of this
# tree (second). Prints operations, latency and CPU per operation of both and their ratios.
#
#   bench/versions.sh OTHER [ROW …]   OTHER: the other build's binary
#                                     rows: get set create get-1 set-1 set-one; default: all
#
#   get, set, create                  48 connections, 16 requests in flight on each
#   get-1, set-1                      48 connections, one request in flight on each
#   set-one                           one connection, one request in flight
#
#   ENGINES="raft paxos"              the engines, one after the other
#   MEMBERS="1 3"                     servers: a standalone one (Raft only), and an ensemble
#   ROUNDS=5 SECONDS_EACH=2           rounds of each, and their length
#   WARM_SECONDS=8                    load on each side before the first row
#
# Wants a release build (cargo build --release -p ostler-cli). Have nothing else run. Data are in
# DIR=/var/tmp/ostler-versions, which is emptied first; ports begin at BASE_PORT=23000.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=${DIR:-/var/tmp/ostler-versions}
base=${BASE_PORT:-23000}
this="$here/target/release/ostler"
other=${1:?the other binary}
shift
engines=${ENGINES:-raft paxos}
sizes=${MEMBERS:-1 3}
rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-2}
warm=${WARM_SECONDS:-8}
rows=${*:-get set create get-1 set-1 set-one}

pids=()
stop() {
  [ ${#pids[@]} -eq 0 ] || { kill "${pids[@]}" 2>/dev/null || true; wait "${pids[@]}" 2>/dev/null || true; }
  pids=()
}
trap stop EXIT

# join a b c: a,b,c
join() { local IFS=,; echo "$*"; }

# start NAME BINARY PORT MEMBERS ENGINE: starts servers with client ports from PORT + 1; sets started
# and addresses.
start() {
  local name=$1 binary=$2 port=$3 members=$4 engine=$5 server peer parts=()
  started=()
  for server in $(seq 1 "$members"); do
    mkdir -p "$dir/$name-$server"
    echo "$server" >"$dir/$name-$server/myid"
    {
      echo "dataDir=$dir/$name-$server"
      echo "clientPort=$((port + server))"
      printf '%s\n' clientPortAddress=127.0.0.1 tickTime=2000 initLimit=10 syncLimit=5 \
        maxClientCnxns=0 admin.enableServer=false
      if [ "$members" -gt 1 ]; then
        for peer in $(seq 1 "$members"); do
          echo "server.$peer=127.0.0.1:$((port + 10 + peer)):$((port + 20 + peer))"
        done
      fi
    } >"$dir/$name-$server.cfg"
    "$binary" serve --config "$dir/$name-$server.cfg" "-Dostler.consensus=$engine" \
      >"$dir/$name-$server.out" 2>&1 &
    started+=($!)
    pids+=($!)
    parts+=("127.0.0.1:$((port + server))")
  done
  addresses=$(join "${parts[@]}")
}

# await ADDRESSES: until a write at each of them succeeds.
await() {
  local address tries
  for address in ${1//,/ }; do
    for tries in $(seq 1 120); do
      if "$this" shell -s "$address" create /await- x -s >/dev/null 2>&1; then break; fi
      if [ "$tries" = 120 ]; then echo "$address does not serve" >&2; exit 1; fi
      sleep 0.5
    done
  done
}

# arguments ROW: those of `ostler bench`.
arguments() {
  case $1 in
    get | set | create) echo "$1 --depth 16" ;;
    get-1 | set-1) echo "${1%-1} --depth 1" ;;
    set-one) echo "set --depth 1 --connections 1" ;;
    *) echo "no row is called $1" >&2; exit 2 ;;
  esac
}

# compare ENGINE MEMBERS: all rows.
compare() {
  local engine=$1 members=$2 first second first_pids second_pids row
  rm -rf "$dir"
  start other "$other" "$base" "$members" "$engine"
  first=$addresses first_pids=$(join "${started[@]}")
  start this "$this" $((base + 100)) "$members" "$engine"
  second=$addresses second_pids=$(join "${started[@]}")
  await "$first,$second"
  "$this" bench set --depth 16 --server "$first" --against "$second" --rounds 1 --seconds "$warm" \
    >/dev/null
  for row in $rows; do
    echo "== $row: $engine, $members member(s)"
    # shellcheck disable=SC2046
    "$this" bench $(arguments "$row") --server "$first" --server-pid "$first_pids" \
      --against "$second" --against-pid "$second_pids" --rounds "$rounds" --seconds "$seconds"
  done
  stop
}

for members in $sizes; do
  for engine in $engines; do
    [ "$members" = 1 ] && [ "$engine" != "${engines%% *}" ] || compare "$engine" "$members"
  done
done
