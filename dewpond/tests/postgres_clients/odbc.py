"""Reads a server by the PostgreSQL protocol through ODBC. Arguments: the driver, port, user, password, events."""

import datetime
import decimal
import sys

import pyodbc

driver, port, user, password, events = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])
server = f"Driver={driver};Server=127.0.0.1;Port={port};Database=dewpond;UID={user};PWD={password}"


def check(what, found, expected):
    assert found == expected, f"{what}: {found!r} is not {expected!r}"


def reads(what, settings):
    """All that a program does: `settings` are the driver's, which asks for values in other ways with others."""
    connection = pyodbc.connect(f"{server};{settings}")
    cursor = connection.cursor()
    check(f"{what}: the server", connection.getinfo(pyodbc.SQL_DBMS_NAME), "PostgreSQL")

    # What a program lists to choose from.
    tables = {row.table_name: (row.table_schem, row.table_type) for row in cursor.tables()}
    check(f"{what}: a table", tables["events"], ("public", "TABLE"))
    assert "sessions" in tables and "pg_class" not in tables, tables
    of_events = [row.table_name for row in cursor.tables(table="ev%", tableType="TABLE")]
    check(f"{what}: tables by a pattern", of_events, ["events"])
    columns = {row.column_name: row for row in cursor.columns(table="events")}
    types = {name: columns[name].type_name for name in ("name", "occurred_at", "visitor_id", "revenue", "is_bot", "date")}
    check(
        f"{what}: types",
        types,
        {"name": "text", "occurred_at": "timestamptz", "visitor_id": "int8", "revenue": "numeric", "is_bot": "bool", "date": "date"},
    )
    check(f"{what}: what may be null", (columns["name"].nullable, columns["revenue"].nullable), (0, 1))
    check(f"{what}: the first column", columns[next(iter(columns))].ordinal_position, 1)
    for about in ("primaryKeys", "foreignKeys", "procedures"):
        asked = getattr(cursor, about)(*([] if about == "procedures" else ["events"]))
        check(f"{what}: {about}", [tuple(row) for row in asked], [])
    # It may have a row of the table itself, of type 0.
    check(f"{what}: indexes", [row.index_name for row in cursor.statistics("events") if row.type != 0], [])
    assert len(list(cursor.getTypeInfo())) > 5

    # Values of each type, and null.
    row = cursor.execute(
        "SELECT 7, 7000000000, 1.5::float8, 12.3450::numeric(10, 4), true, 'it''s é', DATE '2026-03-01', "
        "TIMESTAMP '2026-03-01 12:30:45.25', NULL::text"
    ).fetchone()
    noon = datetime.datetime(2026, 3, 1, 12, 30, 45, 250000)
    values = [7, 7000000000, 1.5, decimal.Decimal("12.3450"), "it's é", datetime.date(2026, 3, 1), noon, None]
    check(f"{what}: values", [value for place, value in enumerate(row) if place != 4], values)
    assert row[4] in (True, "1"), row[4]

    # Parameters, in a statement that is run more than once.
    counted = "SELECT count(*) FROM events WHERE name = ? AND occurred_at > ? AND visitor_id IS NOT NULL"
    for name, expected in (("page_view", events), ("it's", 0), ("page_view", events)):
        found = cursor.execute(counted, name, datetime.datetime(2020, 1, 1)).fetchone()
        check(f"{what}: parameters", found[0], expected)
    found = cursor.execute("SELECT CAST(? AS bigint) + 1, CAST(? AS text)", 41, None).fetchone()
    check(f"{what}: casts of parameters", tuple(found), (42, None))
    check(f"{what}: a literal of ODBC", cursor.execute("SELECT {d '2026-03-01'}").fetchone()[0], datetime.date(2026, 3, 1))

    # Many rows, of which the last portion is as large as the others.
    rows = cursor.execute("SELECT value FROM generate_series(1, 2500) ORDER BY value").fetchall()
    check(f"{what}: many rows", (len(rows), rows[-1][0]), (2500, 2500))
    described = [column[0] for column in cursor.execute("SELECT * FROM events LIMIT 1").description]
    check(f"{what}: columns of an answer", described, list(columns))

    # What is wrong and what would write is refused, and the connection goes on.
    for wrong, code in (("SELECT nothing FROM events", "42703"), ("DELETE FROM events", "25006")):
        try:
            cursor.execute(wrong)
            raise AssertionError(f"{wrong} was done")
        except pyodbc.Error as error:
            check(f"{what}: the code for {wrong}", error.args[0], code)
        connection.rollback()
    check(f"{what}: afterwards", cursor.execute("SELECT count(*) FROM events").fetchone()[0], events)
    connection.commit()
    connection.close()


reads("as it is", "")
reads("portions and the client's parameters", "UseDeclareFetch=1;Fetch=100;UseServerSidePrepare=0")
reads("without errors undone one by one", "Protocol=7.4-0;BoolsAsChar=0")
