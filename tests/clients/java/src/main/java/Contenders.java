import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.RetryOneTime;

/**
 * Contenders for one lock, each with a session of its own: {@code Contenders HOST:PORT PATH CONTENDERS SECONDS}.
 * Speaks as crates/recipes/examples/contenders.rs does, which see.
 */
public final class Contenders {
    private Contenders() {}

    public static void main(String[] arguments) throws Exception {
        int contenders = Integer.parseInt(arguments[2]);
        List<CuratorFramework> clients = new ArrayList<>();
        for (int number = 0; number < contenders; number++) {
            CuratorFramework client =
                    CuratorFrameworkFactory.newClient(arguments[0], 30_000, 60_000, new RetryOneTime(100));
            client.start();
            client.blockUntilConnected();
            clients.add(client);
        }
        System.out.println("READY");
        System.in.read();
        long began = System.nanoTime();
        long end = began + (long) (Double.parseDouble(arguments[3]) * 1e9);
        List<Long> waits = contend(clients, arguments[1], end);
        double seconds = (System.nanoTime() - began) / 1e9;
        Collections.sort(waits);
        System.out.printf(
                "%d %.1f %.2f %.2f%n",
                waits.size(), waits.size() / seconds, percentile(waits, 50), percentile(waits, 99));
        System.in.read();
        clients.forEach(CuratorFramework::close);
    }

    private static List<Long> contend(List<CuratorFramework> clients, String path, long end) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(clients.size());
        List<Future<List<Long>>> works = new ArrayList<>();
        for (CuratorFramework client : clients) {
            works.add(threads.submit(() -> takeTurns(new InterProcessMutex(client, path), end)));
        }
        List<Long> waits = new ArrayList<>();
        for (Future<List<Long>> work : works) {
            waits.addAll(work.get());
        }
        threads.shutdown();
        return waits;
    }

    private static List<Long> takeTurns(InterProcessMutex mutex, long end) throws Exception {
        List<Long> waits = new ArrayList<>();
        while (System.nanoTime() - end < 0) {
            long asked = System.nanoTime();
            mutex.acquire();
            waits.add(System.nanoTime() - asked);
            mutex.release();
        }
        return waits;
    }

    private static double percentile(List<Long> sorted, int percent) {
        return sorted.get((sorted.size() - 1) * percent / 100) / 1e6;
    }
}
