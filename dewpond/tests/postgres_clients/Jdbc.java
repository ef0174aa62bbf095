import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/** Reads a server by the PostgreSQL protocol with JDBC. Arguments: port, user, password, events. */
public class Jdbc {
    static void check(String what, Object found, Object expected) {
        if (!expected.equals(found)) {
            throw new AssertionError(what + ": " + found + " is not " + expected);
        }
    }

    static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> values = new ArrayList<>();
        try (rows) {
            while (rows.next()) {
                values.add(rows.getString(name));
            }
        }
        return values;
    }

    public static void main(String[] args) throws Exception {
        long events = Long.parseLong(args[3]);
        Properties login = new Properties();
        login.setProperty("user", args[1]);
        login.setProperty("password", args[2]);
        // Answers are binary from the second run of a statement on.
        login.setProperty("prepareThreshold", "2");
        try (Connection connection = DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + args[0] + "/dewpond", login)) {
            metadata(connection.getMetaData());
            String sql = "SELECT count(*), min(occurred_at), max(name) FROM events WHERE name = ? AND occurred_at > ? AND visitor_id > ?";
            for (int run = 0; run < 6; run++) {
                try (PreparedStatement statement = connection.prepareStatement(sql)) {
                    statement.setString(1, "page_view");
                    statement.setTimestamp(2, new Timestamp(0));
                    statement.setLong(3, Long.MIN_VALUE);
                    check("parameters", statement.getParameterMetaData().getParameterCount(), 3);
                    try (ResultSet rows = statement.executeQuery()) {
                        rows.next();
                        check("count", rows.getLong(1), events);
                        check("time", rows.getTimestamp(2).getTime() > 1_600_000_000_000L, true);
                        check("text", rows.getString(3), "page_view");
                    }
                }
            }
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(10);
                check("portions", column(statement.executeQuery("SELECT value FROM generate_series(1, 25)"), "value").size(), 25);
            }
            connection.commit();
            connection.setAutoCommit(true);
            refused(connection, "SELECT nothing FROM events", "42703");
            refused(connection, "DELETE FROM events", "25006");
            // The driver sends a cancel request when the time is over.
            refused(connection, "SELECT sum(a.value * b.value % 7) FROM generate_series(1, 1000000) a, generate_series(1, 10000000) b", "57014");
            try (Statement statement = connection.createStatement()) {
                check("the session goes on", column(statement.executeQuery("SELECT 1 AS one"), "one"), List.of("1"));
            }
        }
        System.out.println("well");
    }

    /** What tools such as DBeaver and DataGrip ask before they show anything. */
    static void metadata(DatabaseMetaData about) throws SQLException {
        check("product", about.getDatabaseProductName(), "PostgreSQL");
        List<String> tables = column(about.getTables(null, "public", "%", new String[] {"TABLE"}), "TABLE_NAME");
        check("tables", tables, List.of("events", "identities", "imported_days", "quarantine", "reports", "sessions", "visitor_days", "visitors"));
        check("schemas", column(about.getSchemas(), "TABLE_SCHEM").contains("public"), true);
        check("catalogs", column(about.getCatalogs(), "TABLE_CAT"), List.of("dewpond"));
        try (ResultSet columns = about.getColumns(null, "public", "events", "occurred_at")) {
            columns.next();
            check("a type", columns.getString("TYPE_NAME"), "timestamptz");
            check("nullable", columns.getString("IS_NULLABLE"), "NO");
        }
        check("keys", column(about.getPrimaryKeys(null, "public", "events"), "COLUMN_NAME"), List.of());
        check("foreign keys", column(about.getImportedKeys(null, "public", "events"), "FKCOLUMN_NAME"), List.of());
        check("exported keys", column(about.getExportedKeys(null, "public", "events"), "FKCOLUMN_NAME"), List.of());
        check("indexes", column(about.getIndexInfo(null, "public", "events", false, false), "INDEX_NAME"), List.of());
        List<String> types = column(about.getTypeInfo(), "TYPE_NAME");
        check("types", types.containsAll(List.of("text", "int8", "timestamptz", "bool", "float8")), true);
    }

    static void refused(Connection connection, String sql, String code) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(2);
            statement.executeQuery(sql);
        } catch (SQLException error) {
            check(sql, error.getSQLState(), code);
            return;
        }
        throw new AssertionError(sql + " was answered");
    }
}
