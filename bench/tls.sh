#!/usr/bin/env bash
# Measures what TLS costs: a server that is spoken to with TLS against one without, and against
# Apache ZooKeeper with TLS, round by round in the same run. All are single servers.
#
#   bench/tls.sh [ROW …]              rows: get set get-1 churn; default: all
#
#   get, set                          48 connections, 16 requests in flight on each
#   get-1                             48 connections, one request in flight on each
#   churn                             48 clients that open a session and close it: a handshake each
#
#   ROUNDS=5 SECONDS_EACH=3           rounds of each, and their length
#
# Wants a release build (cargo build --release -p ostler-cli), openssl, java and mvn. Have nothing
# else run. Data are in DIR=/var/tmp/ostler-tls, which is emptied first; ports begin at
# BASE_PORT=24000.
set -euo pipefail
# The servers refuse keys that every user can read.
umask 077

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=${DIR:-/var/tmp/ostler-tls}
base=${BASE_PORT:-24000}
ostler="$here/target/release/ostler"
rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-3}
rows=${*:-get set get-1 churn}
jars=$("$here/tests/oracle/fetch")

pids=()
stop() {
  [ ${#pids[@]} -eq 0 ] || { kill "${pids[@]}" 2>/dev/null || true; wait "${pids[@]}" 2>/dev/null || true; }
}
trap stop EXIT

# issue NAME: a key and a certificate of the authority, in one file.
issue() {
  openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2>/dev/null
  echo "subjectAltName=IP:127.0.0.1" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile "$1.ext" \
    -out "$1.crt" 2>/dev/null
  cat "$1.key" "$1.crt" >"$1.pem"
}

# configure NAME PORT: a zoo.cfg with clients on PORT, and with TLS on PORT + 1.
configure() {
  mkdir -p "$dir/$1"
  printf '%s\n' "dataDir=$dir/$1" "clientPort=$2" "secureClientPort=$(($2 + 1))" \
    clientPortAddress=127.0.0.1 secureClientPortAddress=127.0.0.1 tickTime=2000 maxClientCnxns=0 \
    admin.enableServer=false "ssl.keyStore.location=$dir/server.pem" "ssl.trustStore.location=$dir/ca.pem" \
    >"$dir/$1.cfg"
}

# await PORT: until a write succeeds.
await() {
  local tries
  for tries in $(seq 1 120); do
    if "$ostler" shell -s "127.0.0.1:$1" create /await- x -s >/dev/null 2>&1; then return; fi
    sleep 0.5
  done
  echo "port $1 does not serve" >&2
  exit 1
}

# arguments ROW: those of `ostler bench`.
arguments() {
  case $1 in
    get | set) echo "$1 --depth 16" ;;
    get-1) echo "get --depth 1" ;;
    churn) echo churn ;;
    *) echo "no row is called $1" >&2; exit 2 ;;
  esac
}

# compare ROW NAME FIRST FIRST_PID SECOND SECOND_PID
compare() {
  echo "== $1: $2"
  # shellcheck disable=SC2046
  "$ostler" bench $(arguments "$1") --server "$3" --server-pid "$4" --against "$5" --against-pid "$6" \
    --rounds "$rounds" --seconds "$seconds" --ca "$dir/ca.pem" --cert "$dir/client.pem"
}

rm -rf "$dir"
mkdir -p "$dir"
cd "$dir"
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 30 2>/dev/null
issue server
issue client
for name in secure plain; do
  configure "$name" $((base + ${#pids[@]} * 10))
  "$ostler" serve --config "$dir/$name.cfg" >"$dir/$name.out" 2>&1 &
  pids+=($!)
done
configure zookeeper $((base + 20))
java -Xmx1g -Dzookeeper.serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory \
  -Dzookeeper.ssl.keyStore.location="$dir/server.pem" -Dzookeeper.ssl.trustStore.location="$dir/ca.pem" \
  -cp "$jars/*" org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/zookeeper.cfg" \
  >"$dir/zookeeper.out" 2>&1 &
pids+=($!)
for port in $base $((base + 10)) $((base + 20)); do await "$port"; done
for row in $rows; do
  compare "$row" "TLS against none" "tls://127.0.0.1:$((base + 1))" "${pids[0]}" \
    "127.0.0.1:$((base + 10))" "${pids[1]}"
  compare "$row" "TLS against ZooKeeper with TLS" "tls://127.0.0.1:$((base + 1))" "${pids[0]}" \
    "tls://127.0.0.1:$((base + 21))" "${pids[2]}"
done
