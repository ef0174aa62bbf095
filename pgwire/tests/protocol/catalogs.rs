//! What clients ask to find out what there is, in the forms that they ask it.

use crate::{rows, serve, value, wide};

#[tokio::test]
async fn tables_and_columns_are_listed_as_in_postgresql() {
    let server = serve(wide()).await;
    let client = server.connect().await;
    assert_eq!(value(&client, "SELECT version()").await.split(' ').next(), Some("PostgreSQL"));
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1";
    let names: Vec<_> = rows(&client, tables).await.into_iter().map(|row| row[0].clone().unwrap()).collect();
    let expected =
        ["events", "identities", "imported_days", "quarantine", "reports", "sessions", "visitor_days", "visitors"];
    assert_eq!(names, expected);
    let column = "SELECT data_type, udt_name, is_nullable FROM information_schema.columns
        WHERE table_name = 'events' AND column_name = 'occurred_at'";
    let told: Vec<_> = rows(&client, column).await.remove(0).into_iter().flatten().collect();
    assert_eq!(told[..2], ["timestamp with time zone", "timestamptz"]);
    assert_eq!(
        value(&client, "SELECT 'events'::regclass::oid = oid FROM pg_class WHERE relname = 'events'").await,
        "t"
    );
    assert_eq!(
        value(&client, "SELECT current_database() || current_schema() || current_user").await,
        "dewpondpublicdewpond"
    );
    assert_eq!(value(&client, "SELECT count(*) FROM pg_catalog.pg_index").await, "0");
}

/// What the query editor of Grafana asks.
#[tokio::test]
async fn grafana_finds_its_tables_and_a_time_series() {
    let server = serve(wide()).await;
    server.add("shop", 0..3).await;
    let client = server.connect().await;
    assert_eq!(value(&client, "SELECT current_setting('server_version_num')::int/100").await, "1400");
    let tables = "select case when quote_ident(table_schema) = ANY (current_schemas(false))
              then quote_ident(table_name) else quote_ident(table_schema) || '.' || quote_ident(table_name) end as \"table\"
        from information_schema.tables
        where quote_ident(table_schema) not in ('information_schema', 'pg_catalog', '_timescaledb_cache')
        order by 1";
    assert_eq!(rows(&client, tables).await[0][0].as_deref(), Some("events"));
    let columns = "select quote_ident(column_name) as \"column\", data_type as \"type\" from information_schema.columns
        where case when array_length(parse_ident('events'), 1) = 2
            then quote_ident(table_schema) = (parse_ident('events'))[1] and quote_ident(table_name) = (parse_ident('events'))[2]
            else quote_ident(table_name) = 'events' end";
    assert!(rows(&client, columns).await.len() > 10);
    let series = "SELECT floor(extract(epoch from occurred_at)/60)*60 AS \"time\", name AS metric, count(*) AS value
        FROM events WHERE occurred_at BETWEEN '2026-03-01T11:00:00Z' AND '2026-03-01T13:00:00Z' GROUP BY 1, 2 ORDER BY 1, 2";
    let found = rows(&client, series).await;
    assert_eq!(found[0][1..], [Some("page_view".to_owned()), Some("3".to_owned())]);
}

/// What Metabase asks when it takes over a database's tables and fields.
#[tokio::test]
async fn metabase_finds_its_tables_and_fields() {
    let server = serve(wide()).await;
    let client = server.connect().await;
    let tables = "SELECT n.nspname AS \"schema\", c.relname AS \"name\",
            CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'PARTITIONED TABLE' WHEN 'v' THEN 'VIEW' ELSE NULL END AS \"type\",
            d.description AS \"description\", stat.n_live_tup AS \"estimated_row_count\"
        FROM pg_catalog.pg_class AS c
        INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
        LEFT JOIN pg_catalog.pg_description AS d ON c.oid = d.objoid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
        LEFT JOIN pg_stat_user_tables AS stat ON n.nspname = stat.schemaname AND c.relname = stat.relname
        WHERE c.relnamespace = n.oid AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
            AND c.relkind IN ('r', 'p', 'v', 'f', 'm') AND n.nspname IN ('public')
        ORDER BY \"type\" ASC, \"schema\" ASC, \"name\" ASC";
    assert_eq!(rows(&client, tables).await.len(), 8);
    let fields = "SELECT c.column_name AS name,
            CASE WHEN c.udt_schema IN ('public', 'pg_catalog') THEN FORMAT('%s', c.udt_name)
                ELSE FORMAT('\"%s\".\"%s\"', c.udt_schema, c.udt_name) END AS \"database-type\",
            c.ordinal_position - 1 AS \"database-position\", c.table_schema AS \"table-schema\", c.table_name AS \"table-name\",
            pk.column_name IS NOT NULL AS \"pk?\",
            COL_DESCRIPTION(CAST(CAST(FORMAT('%I.%I', CAST(c.table_schema AS TEXT), CAST(c.table_name AS TEXT)) AS REGCLASS) AS OID), c.ordinal_position) AS \"field-comment\",
            ((c.column_default IS NULL) OR (LOWER(c.column_default) = 'null')) AND (c.is_nullable = 'NO')
                AND NOT (((c.column_default IS NOT NULL) AND (c.column_default LIKE '%nextval(%')) OR (c.is_identity <> 'NO')) AS \"database-required\"
        FROM information_schema.columns AS c
        LEFT JOIN (SELECT tc.table_schema, tc.table_name, kc.column_name FROM information_schema.table_constraints AS tc
            INNER JOIN information_schema.key_column_usage AS kc ON tc.constraint_name = kc.constraint_name
                AND tc.table_schema = kc.table_schema AND tc.table_name = kc.table_name
            WHERE tc.constraint_type = 'PRIMARY KEY') AS pk
            ON c.table_schema = pk.table_schema AND c.table_name = pk.table_name AND c.column_name = pk.column_name
        WHERE c.table_schema !~ '^information_schema|catalog_history|pg_' AND c.table_schema IN ('public')
        ORDER BY \"table-schema\" ASC, \"table-name\" ASC, \"database-position\" ASC";
    let found = rows(&client, fields).await;
    assert!(
        found.iter().any(|row| row[0].as_deref() == Some("occurred_at") && row[1].as_deref() == Some("timestamptz"))
    );
    let readable = "SELECT t.tablename, has_table_privilege(current_user, '\"' || t.schemaname || '\".\"' || t.tablename || '\"', 'SELECT') AS \"select\",
            pg_catalog.has_table_privilege(current_user, '\"' || t.schemaname || '\".\"' || t.tablename || '\"', 'INSERT') AS \"insert\"
        FROM pg_catalog.pg_tables t WHERE t.schemaname = 'public' ORDER BY 1";
    let told: Vec<_> = rows(&client, readable).await.remove(0).into_iter().flatten().collect();
    assert_eq!(told, ["events", "t", "f"]);
    let foreign_keys = "SELECT fk_ns.nspname AS \"fk-table-schema\", fk_table.relname AS \"fk-table-name\", fk_column.attname AS \"fk-column-name\",
            pk_ns.nspname AS \"pk-table-schema\", pk_table.relname AS \"pk-table-name\", pk_column.attname AS \"pk-column-name\"
        FROM pg_constraint AS c INNER JOIN pg_class AS fk_table ON c.conrelid = fk_table.oid
        INNER JOIN pg_namespace AS fk_ns ON c.connamespace = fk_ns.oid
        INNER JOIN pg_attribute AS fk_column ON c.conrelid = fk_column.attrelid
        INNER JOIN pg_class AS pk_table ON c.confrelid = pk_table.oid
        INNER JOIN pg_namespace AS pk_ns ON pk_table.relnamespace = pk_ns.oid
        INNER JOIN pg_attribute AS pk_column ON c.confrelid = pk_column.attrelid
        WHERE fk_ns.nspname !~ '^information_schema|catalog_history|pg_' AND c.contype = 'f'::char
            AND fk_column.attnum = ANY(c.conkey) AND pk_column.attnum = ANY(c.confkey) AND fk_ns.nspname IN ('public')
        ORDER BY \"fk-table-schema\" ASC, \"fk-table-name\" ASC";
    let indexes = "SELECT tmp.\"table-schema\", tmp.\"table-name\",
            TRIM(BOTH '\"' FROM pg_catalog.pg_get_indexdef(tmp.ci_oid, tmp.pos, FALSE)) AS \"field-name\"
        FROM (SELECT n.nspname AS \"table-schema\", ct.relname AS \"table-name\", ci.oid AS ci_oid,
                (information_schema._pg_expandarray(i.indkey)).n AS pos
            FROM pg_catalog.pg_class AS ct INNER JOIN pg_catalog.pg_namespace AS n ON ct.relnamespace = n.oid
            INNER JOIN pg_catalog.pg_index AS i ON ct.oid = i.indrelid
            INNER JOIN pg_catalog.pg_class AS ci ON ci.oid = i.indexrelid
            WHERE pg_catalog.pg_get_expr(i.indpred, i.indrelid) IS NULL
                AND n.nspname !~ '^information_schema|catalog_history|pg_') AS tmp
        WHERE tmp.pos = 1";
    for none in [foreign_keys, indexes] {
        assert_eq!(rows(&client, none).await, [] as [Vec<Option<String>>; 0], "{none}");
    }
}
