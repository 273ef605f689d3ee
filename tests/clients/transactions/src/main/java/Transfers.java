import jakarta.transaction.UserTransaction;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.logging.Level;
import java.util.logging.Logger;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import javax.sql.DataSource;

/**
 * Transfers between accounts in PostgreSQL and in MariaDB, each in one JTA transaction:
 * {@code Transfers atomikos|narayana POSTGRES-URL MARIADB-URL CONNECTIONS LOG-FOLDER}.
 *
 * <p>Says READY, then answers each line {@code CLIENTS SECONDS} with the latencies of all transfers
 * in nanoseconds, in one line. Every client has an account of its own. Ends with its input.
 */
public final class Transfers {
    /** What a coordinator offers to a program; its data sources enlist their connections. */
    record Coordinator(UserTransaction transaction, DataSource postgres, DataSource mariadb) {}

    private final Coordinator coordinator;

    private Transfers(Coordinator coordinator) {
        this.coordinator = coordinator;
    }

    public static void main(String[] arguments) {
        try {
            answer(arguments);
        } catch (Exception failure) {
            failure.printStackTrace();
            System.exit(1);
        }
        // The coordinators have threads of their own, which would go on.
        System.exit(0);
    }

    private static void answer(String[] arguments) throws Exception {
        // Coordinators write to the standard output what they find at their start.
        PrintStream answers = System.out;
        System.setOut(System.err);
        Logger.getLogger("").setLevel(Level.WARNING);
        String postgres = arguments[1], mariadb = arguments[2], folder = arguments[4];
        int connections = Integer.parseInt(arguments[3]);
        Coordinator coordinator =
                switch (arguments[0]) {
                    case "atomikos" -> Atomikos.open(postgres, mariadb, connections, folder);
                    case "narayana" -> Narayana.open(postgres, mariadb, connections, folder);
                    default -> throw new IllegalArgumentException(arguments[0]);
                };
        Transfers transfers = new Transfers(coordinator);
        answers.println("READY");
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] words = line.split(" ");
            LongStream took =
                    transfers.run(Integer.parseInt(words[0]), Double.parseDouble(words[1]));
            answers.println(took.mapToObj(Long::toString).collect(Collectors.joining(" ")));
        }
    }

    private LongStream run(int clients, double seconds) throws Exception {
        long end = System.nanoTime() + (long) (seconds * 1e9);
        ExecutorService threads = Executors.newFixedThreadPool(clients);
        List<Future<List<Long>>> running = new ArrayList<>();
        for (int client = 0; client < clients; client++) {
            int account = client;
            running.add(threads.submit(() -> transferUntil(end, account)));
        }
        List<Long> took = new ArrayList<>();
        for (Future<List<Long>> client : running) {
            took.addAll(client.get());
        }
        threads.shutdown();
        return took.stream().mapToLong(Long::longValue);
    }

    private List<Long> transferUntil(long end, int account) throws Exception {
        List<Long> took = new ArrayList<>();
        while (System.nanoTime() - end < 0) {
            long began = System.nanoTime();
            coordinator.transaction().begin();
            update(coordinator.postgres(), -1, account);
            update(coordinator.mariadb(), 1, account);
            coordinator.transaction().commit();
            took.add(System.nanoTime() - began);
        }
        return took;
    }

    private static void update(DataSource source, int amount, int account) throws SQLException {
        try (Connection connection = source.getConnection();
                Statement statement = connection.createStatement()) {
            statement.executeUpdate(
                    "UPDATE accounts SET balance = balance + " + amount + " WHERE id = " + account);
        }
    }
}
