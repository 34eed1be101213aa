import java.sql.*;
import java.util.Properties;

/** Stores rows through ClickHouse's JDBC driver, reads them, and asks for what is not there. */
class Smoke {
  private static final int ROWS = 2500;

  public static void main(String[] arguments) throws SQLException {
    Properties login = new Properties();
    login.put("user", "default");
    login.put("password", System.getenv("CLICKHOUSE_PASSWORD"));
    try (Connection connection = DriverManager.getConnection("jdbc:clickhouse://" + arguments[0] + "/default", login);
        Statement statement = connection.createStatement()) {
      statement.execute("CREATE OR REPLACE TABLE client_java (a UInt64, s String) ENGINE = MergeTree ORDER BY a");
      try (PreparedStatement insert = connection.prepareStatement("INSERT INTO client_java (a, s) VALUES (?, ?)")) {
        for (int number = 0; number < ROWS; number++) {
          insert.setLong(1, number);
          insert.setString(2, "a 'quoted' row " + number);
          insert.addBatch();
        }
        insert.executeBatch();
      }
      String stored;
      try (PreparedStatement query =
          connection.prepareStatement("SELECT count(), sum(a), uniqExact(s) FROM client_java WHERE a >= ?")) {
        query.setLong(1, 0);
        try (ResultSet found = query.executeQuery()) {
          found.next();
          stored = found.getLong(1) + " " + found.getLong(2) + " " + found.getLong(3);
        }
      }
      int read = 0;
      try (ResultSet found = statement.executeQuery("SELECT a, s FROM client_java")) {
        while (found.next()) read++;
      }
      String refused = "not refused";
      try {
        statement.executeQuery("SELECT nothing FROM client_java");
      } catch (SQLException error) {
        refused = String.valueOf(error.getErrorCode());
      }
      System.out.println(stored + " " + read + " " + refused);
    }
  }
}
