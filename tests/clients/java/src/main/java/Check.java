import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher.Event.EventType;

/** What both programs say and ask: expectations, and the conversation with the harness. */
final class Check {
    static final int WAIT_SECONDS = 20;

    private static final BufferedReader ANSWERS = new BufferedReader(new InputStreamReader(System.in));

    private Check() {}

    interface Part {
        void run() throws Exception;
    }

    static void that(boolean holds, Object seen) {
        if (!holds) {
            throw new AssertionError(String.valueOf(seen));
        }
    }

    static void equal(Object expected, Object seen) {
        that(expected.equals(seen), "expected " + expected + ", got " + seen);
    }

    static void refuses(KeeperException.Code code, Part part) throws Exception {
        try {
            part.run();
        } catch (KeeperException e) {
            equal(code, e.code());
            return;
        }
        throw new AssertionError("expected " + code);
    }

    static void eventually(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_SECONDS);
        while (!condition.call()) {
            that(System.nanoTime() < deadline, "did not happen: " + what);
            Thread.sleep(20);
        }
    }

    static <T> T next(BlockingQueue<T> queue) throws InterruptedException {
        T value = queue.poll(WAIT_SECONDS, TimeUnit.SECONDS);
        that(value != null, "nothing came");
        return value;
    }

    static void next(BlockingQueue<WatchedEvent> events, EventType type, String path) throws InterruptedException {
        WatchedEvent event = next(events);
        that(event.getType() == type && path.equals(event.getPath()), "expected " + type + " of " + path + ", got " + event);
    }

    static void passed(String name, Part part) throws Exception {
        part.run();
        System.out.println("passed " + name);
    }

    /** Has the server of that session killed and started again. */
    static void restartServer(long session) throws IOException {
        equal("RESTARTED", ask("RESTART 0x" + Long.toHexString(session)));
    }

    /** Has a server started that can be added to the ensemble; answers its line, or NONE. */
    static String spareServer() throws IOException {
        return ask("SPARE");
    }

    private static String ask(String line) throws IOException {
        System.out.println(line);
        return ANSWERS.readLine();
    }
}
