"""A guest list over HTTP, kept in MariaDB: GET / lists the guests, POST / with a name adds one."""

import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pymysql

HOST = os.environ["DATABASE_HOST"]
LONGEST_NAME = 100


def connect():
    return pymysql.connect(
        host=HOST,
        user=os.environ["MARIADB_USER"],
        password=os.environ["MARIADB_PASSWORD"],
        database=os.environ["MARIADB_DATABASE"],
        autocommit=True,
    )


def wait_for_database(patience):
    """Tries until the database lets us in: it may have to be made first."""
    deadline = time.monotonic() + patience
    waited = False
    while True:
        try:
            connect().close()
            break
        except pymysql.OperationalError as error:
            if time.monotonic() > deadline:
                sys.exit(f"no database after {patience} s: {error}")
            if not waited:
                print(f"waiting for the database at {HOST}")
            waited = True
            time.sleep(0.2)
    print("the database is there")


class Guests(BaseHTTPRequestHandler):
    def do_GET(self):
        with connect() as database, database.cursor() as cursor:
            cursor.execute("SELECT id, name FROM guests ORDER BY id")
            rows = cursor.fetchall()
        self.answer(200, "".join(f"{number}. {name}\n" for number, name in rows))

    def do_POST(self):
        length = int(self.headers.get("Content-Length", "0"))
        name = self.rfile.read(min(length, 4 * LONGEST_NAME)).decode("utf-8", "replace").strip()
        if not 0 < len(name) <= LONGEST_NAME:
            self.answer(400, f"a name has 1 to {LONGEST_NAME} letters\n")
            return
        with connect() as database, database.cursor() as cursor:
            cursor.execute("INSERT INTO guests (name) VALUES (%s)", (name,))
        self.answer(201, f"welcome, {name}\n")

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


# As process 1, a program that does not ask for the signal does not get it.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
wait_for_database(patience=120)
print("listening on port 8080")
ThreadingHTTPServer(("", 8080), Guests).serve_forever()
