"""Reads a server by the PostgreSQL protocol with psycopg and SQLAlchemy. Arguments: port, user, password, events."""

import datetime
import sys

import psycopg
import sqlalchemy

port, user, password, events = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
dsn = f"host=127.0.0.1 port={port} user={user} password={password} dbname=dewpond"


def check(what, found, expected):
    assert found == expected, f"{what}: {found!r} is not {expected!r}"


with psycopg.connect(dsn) as connection:
    check("count", connection.execute("SELECT count(*) FROM events").fetchone(), (events,))
    noon = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)
    for binary in (False, True):
        row = connection.execute(
            "SELECT %s::text, %s::bigint, %s::timestamptz, %s::boolean, %s::float8, ARRAY['a', NULL]",
            ("it's", 7, noon, True, 1.5),
            binary=binary,
        ).fetchone()
        check(f"values, binary {binary}", row, ("it's", 7, noon, True, 1.5, ["a", None]))
        found = connection.execute(
            "SELECT count(*) FROM events WHERE name = %s AND occurred_at > %s AND name = ANY(%s)",
            ("page_view", noon - datetime.timedelta(days=36500), ["page_view", "x"]),
            binary=binary,
        ).fetchone()
        check(f"parameters, binary {binary}", found, (events,))
    # Prepared on the server, and run more than once.
    for number in range(3):
        check("prepared", connection.execute("SELECT %b::int", (number,), prepare=True).fetchone(), (number,))
    with connection.cursor(name="portions") as cursor:
        cursor.itersize = 7
        cursor.execute("SELECT value FROM generate_series(1, 20)")
        check("a cursor on the server", len(cursor.fetchall()), 20)
    with connection.cursor() as cursor, cursor.copy("COPY (SELECT name FROM events) TO STDOUT") as copy:
        check("copy", sorted(set(copy.rows())), [("page_view",)])
    try:
        connection.execute("SELECT nothing FROM events")
        raise AssertionError("there is no such column")
    except psycopg.errors.UndefinedColumn as error:
        check("position", error.diag.statement_position, "8")
    connection.rollback()
    try:
        connection.execute("DELETE FROM events")
        raise AssertionError("events were deleted")
    except psycopg.errors.ReadOnlySqlTransaction:
        connection.rollback()

engine = sqlalchemy.create_engine(f"postgresql+psycopg://{user}:{password}@127.0.0.1:{port}/dewpond")
inspector = sqlalchemy.inspect(engine)
check("tables", "events" in inspector.get_table_names(), True)
check("schemas", "public" in inspector.get_schema_names(), True)
columns = {column["name"]: str(column["type"]) for column in inspector.get_columns("events")}
check("a column", columns["occurred_at"], "TIMESTAMP")
check("keys", inspector.get_pk_constraint("events")["constrained_columns"], [])
check("foreign keys", inspector.get_foreign_keys("events"), [])
check("indexes", inspector.get_indexes("events"), [])
table = sqlalchemy.Table("events", sqlalchemy.MetaData(), autoload_with=engine)
with engine.connect() as connection:
    counted = sqlalchemy.select(sqlalchemy.func.count()).select_from(table).where(table.c.name == "page_view")
    check("a query that was built", connection.execute(counted).scalar(), events)
print("well")
