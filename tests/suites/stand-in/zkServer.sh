#!/bin/bash
# Stands in for ZooKeeper's zkServer.sh, of which go-zookeeper's tests use `start-foreground`. SUITE_SERVER is `ostler`
# (OSTLER names the binary) or `zookeeper` (ZK_LIB names the folder with its jars); SERVER_JVMFLAGS has -D properties.
set -u
[[ ${1:-} == start-foreground ]] || { echo "only start-foreground" >&2; exit 2; }
# shellcheck disable=SC2206
flags=(${SERVER_JVMFLAGS:-})
main=org.apache.zookeeper.server.quorum.QuorumPeerMain
case $SUITE_SERVER in
    ostler) exec "$(dirname "$0")/java" "${flags[@]}" "$main" "$2" ;;
    zookeeper) exec java "${flags[@]}" -Xmx512m -cp "$ZK_LIB/*" "$main" "$2" ;;
esac
