"""ClickHouse, as the library chdb, against a server: `client.py HOST:PORT[,HOST:PORT…]`.

Prints one line per passed check and `PASSED` at the end. Prints `RESTART LEADER` when it wants the leader killed and
started again, and waits for `RESTARTED` on its standard input.
"""

import sys
import tempfile
import time
from pathlib import Path

from chdb import session

HOSTS = [host.rsplit(":", 1) for host in sys.argv[1].split(",")]
WAIT = 60

CONFIG = """<clickhouse>
  <zookeeper>{nodes}<session_timeout_ms>10000</session_timeout_ms></zookeeper>
  <keeper_map_path_prefix>/keeper_map</keeper_map_path_prefix>
  <logger><level>information</level><log>{folder}/clickhouse.log</log><errorlog>{folder}/errors.log</errorlog></logger>
</clickhouse>
"""


class ClickHouse:
    def __init__(self, folder):
        nodes = "".join(f"<node><host>{host}</host><port>{port}</port></node>" for host, port in HOSTS)
        config = Path(folder, "config.xml")
        config.write_text(CONFIG.format(nodes=nodes, folder=folder))
        self.session = session.Session(f"{folder}/data?config-file={config}")

    def ask(self, query):
        """Rows of text; the client's own errors are raised."""
        return str(self.session.query(query, "TSV")).splitlines()

    def insist(self, query):
        """As `ask`, again and again while the connection is lost: ClickHouse leaves that to its user."""
        deadline = time.monotonic() + WAIT
        while True:
            try:
                return self.ask(query)
            except Exception as error:
                if "KEEPER_EXCEPTION" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


def check(name, found, expected):
    if found != expected:
        sys.exit(f"{name}: {found!r} instead of {expected!r}")
    print(f"ok {name}", flush=True)


def restart_leader():
    print("RESTART LEADER", flush=True)
    if sys.stdin.readline().strip() != "RESTARTED":
        sys.exit("the leader was not started again")


def key_value_table(clickhouse):
    ask = clickhouse.ask
    ask("CREATE TABLE map (key UInt64, value String) ENGINE = KeeperMap('/map') PRIMARY KEY key")
    ask("INSERT INTO map VALUES (1, 'one'), (2, 'two'), (3, 'three')")
    check("select by key", ask("SELECT * FROM map WHERE key = 2"), ["2\ttwo"])
    found = ask("SELECT * FROM map WHERE key IN (1, 7, 3) ORDER BY key")
    check("select by keys of which one is missing", found, ["1\tone", "3\tthree"])
    ask("ALTER TABLE map UPDATE value = 'zwei' WHERE key = 2")
    ask("DELETE FROM map WHERE key = 1")
    check("update and delete", ask("SELECT * FROM map ORDER BY key"), ["2\tzwei", "3\tthree"])


def serial_numbers(clickhouse):
    found = clickhouse.ask("SELECT generateSerialID('serial') FROM numbers(3)")
    check("generateSerialID", found, ["0", "1", "2"])


def replicated_table(clickhouse, name):
    engine = f"ReplicatedMergeTree('/tables/{name}', 'one')"
    clickhouse.insist(f"CREATE TABLE IF NOT EXISTS {name} (a UInt64) ENGINE = {engine} ORDER BY a")
    check(f"create {name}", clickhouse.ask(f"SELECT count() FROM {name}"), ["0"])
    clickhouse.insist(f"DROP TABLE IF EXISTS {name} SYNC")
    check(f"drop {name}", clickhouse.ask(f"EXISTS TABLE {name}"), ["0"])


def leader_kills(clickhouse):
    for kill in range(3):
        restart_leader()
        key = 100 + kill
        # An insert whose answer was lost may be done; to insert the same row again changes nothing.
        clickhouse.insist(f"INSERT INTO map VALUES ({key}, 'after kill {kill}')")
        found = clickhouse.insist(f"SELECT * FROM map WHERE key IN (2, {key}, 999) ORDER BY key")
        check(f"insert and select after kill {kill}", found, ["2\tzwei", f"{key}\tafter kill {kill}"])
        replicated_table(clickhouse, f"replicated_{kill}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        clickhouse = ClickHouse(folder)
        key_value_table(clickhouse)
        serial_numbers(clickhouse)
        replicated_table(clickhouse, "replicated")
        leader_kills(clickhouse)
        clickhouse.insist("TRUNCATE TABLE map")
        check("truncate", clickhouse.ask("SELECT count() FROM map"), ["0"])
        clickhouse.insist("DROP TABLE map SYNC")
        print("PASSED", flush=True)


main()
