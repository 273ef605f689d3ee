#!/usr/bin/env bash
# What a decision in Ostler costs: transfers between PostgreSQL and MariaDB by hand-written PREPARE
# and COMMIT without a log of decisions, by the library with three Ostler servers, by a coordinator
# whose log is a local file that is flushed, and by Atomikos and Narayana, round by round in one
# run. Latency at one client, throughput at several.
#
#   ROUNDS=5 SECONDS_EACH=4 CLIENTS=16
#
# Starts everything itself, the databases from Debian's packages, the coordinators in Java with
# java, javac and mvn. Have nothing else run. Data are in TMPDIR, which has to be on a disk.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --release -p ostler-transactions --example cost
if command -v java >/dev/null && command -v javac >/dev/null && command -v mvn >/dev/null; then
  mkdir -p .cache
  TRANSACTIONS_JAVA=$(tests/clients/transactions/install "$PWD/.cache/transactions")
  export TRANSACTIONS_JAVA
else
  echo "Without Atomikos and Narayana, which want java, javac and mvn." >&2
fi
exec target/release/examples/cost
