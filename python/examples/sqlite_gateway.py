"""The rows of a SQLite database as znodes: ``/db/<table>/<rowid>`` is a row, as JSON.

    python sqlite_gateway.py FILE
"""

from __future__ import annotations

import base64
import json
import sqlite3
import sys
import threading
from typing import Any, Optional

from zoo_server import DONE, BadArgumentsError, Done, NodeExistsError, NoNodeError, ZooServer


class SqliteGateway(ZooServer):
    """Tables below ``/db``; everything else is the built-in tree."""

    def __init__(self, file: str, **options: Any) -> None:
        """Opens the database."""
        super().__init__(**options)
        # Methods run on several threads when one of them takes long.
        self.lock = threading.Lock()
        self.database = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self.database.row_factory = sqlite3.Row

    def query(self, text: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """Runs one statement."""
        with self.lock:
            return self.database.execute(text, values).fetchall()

    def tables(self) -> list[str]:
        """The names of the tables."""
        found = self.query("select name from sqlite_master where type = 'table' order by name")
        return [row["name"] for row in found if not row["name"].startswith("sqlite_")]

    def place(self, path: str) -> Optional[list[str]]:
        """Table and row of a path; ``None`` outside of ``/db``."""
        first, *parts = path[1:].split("/")
        if first != "db":
            return None
        if len(parts) > 2 or parts and parts[0] not in self.tables() or len(parts) == 2 and not parts[1].isdigit():
            raise NoNodeError(path)
        return parts

    def get_children(self, path: str) -> Optional[list[str]]:
        """Tables, or the ids of a table's rows."""
        place = self.place(path)
        if place is None:
            return None
        if not place:
            return self.tables()
        if len(place) == 2:
            return []
        return [str(row[0]) for row in self.query(f"select rowid from {quoted(place[0])} order by rowid")]

    def get_data(self, path: str) -> Optional[bytes]:
        """A row."""
        place = self.place(path)
        if place is None:
            return None
        if len(place) < 2:
            return b""
        rows = self.query(f"select * from {quoted(place[0])} where rowid = ?", (int(place[1]),))
        if not rows:
            raise NoNodeError(path)
        return json.dumps(dict(rows[0]), default=encoded).encode()

    def set_data(self, path: str, data: bytes) -> Optional[Done]:
        """Changes the columns that the JSON names."""
        place = self.place(path)
        if place is None:
            return None
        if len(place) < 2:
            raise BadArgumentsError(path)
        values = columns(data)
        names = ", ".join(f"{quoted(name)} = ?" for name in values)
        self.get_data(path)
        self.write(f"update {quoted(place[0])} set {names} where rowid = ?", (*values.values(), int(place[1])))
        self.changed(path)
        return DONE

    def create(self, path: str, data: bytes) -> Optional[str]:
        """A new row with this id."""
        place = self.place(path)
        if place is None:
            return None
        if len(place) < 2:
            raise BadArgumentsError(path)
        values = {"rowid": int(place[1]), **columns(data)}
        names, marks = ", ".join(map(quoted, values)), ", ".join("?" * len(values))
        self.write(f"insert into {quoted(place[0])} ({names}) values ({marks})", tuple(values.values()))
        self.created(path)
        return path

    def delete(self, path: str) -> Optional[Done]:
        """Deletes a row."""
        place = self.place(path)
        if place is None:
            return None
        self.get_data(path)
        if len(place) < 2:
            raise BadArgumentsError(path)
        self.write(f"delete from {quoted(place[0])} where rowid = ?", (int(place[1]),))
        self.deleted(path)
        return DONE

    def write(self, text: str, values: tuple[Any, ...]) -> None:
        """Runs one statement that writes."""
        try:
            self.query(text, values)
        except sqlite3.IntegrityError as error:
            raise NodeExistsError(str(error)) from error
        except sqlite3.Error as error:
            raise BadArgumentsError(str(error)) from error


def quoted(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def columns(data: bytes) -> dict[str, Any]:
    """The columns in a JSON object."""
    try:
        values = json.loads(data)
    except ValueError as error:
        raise BadArgumentsError(str(error)) from None
    if not isinstance(values, dict) or not values:
        raise BadArgumentsError("the data are a JSON object of columns")
    return values


def encoded(value: Any) -> str:
    """What JSON has no type for."""
    return base64.b64encode(value).decode()


if __name__ == "__main__":
    SqliteGateway(sys.argv[1]).start()
