import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collections;
import java.util.List;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.locks.StandardLockInternalsDriver;
import org.apache.curator.retry.RetryOneTime;

/**
 * Takes turns with other programs: {@code Turns KIND PATH COUNT FOLDER HOST:PORT}. Each turn makes the
 * file {@code inside}, which nobody else may have made, and adds a line to {@code turns}.
 */
public final class Turns {
    private Turns() {}

    public static void main(String[] arguments) throws Exception {
        String kind = arguments[0];
        String path = arguments[1];
        int count = Integer.parseInt(arguments[2]);
        Path folder = Path.of(arguments[3]);
        try (CuratorFramework client = CuratorFrameworkFactory.newClient(arguments[4], new RetryOneTime(100))) {
            client.start();
            for (int turn = 0; turn < count; turn++) {
                take(client, kind, path, folder);
            }
        }
        System.out.println("PASSED");
    }

    private static void take(CuratorFramework client, String kind, String path, Path folder) throws Exception {
        switch (kind) {
            case "lock" -> locked(new InterProcessMutex(client, path), folder);
            case "lock-of-all" -> locked(new InterProcessMutex(client, path, new ByNumber()), folder);
            case "elect" -> {
                try (LeaderLatch latch = new LeaderLatch(client, path, "java")) {
                    latch.start();
                    latch.await();
                    visit(folder);
                }
            }
            case "semaphore" -> {
                InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, path, 1);
                Lease lease = semaphore.acquire();
                try {
                    visit(folder);
                } finally {
                    semaphore.returnLease(lease);
                }
            }
            default -> throw new IllegalArgumentException(kind);
        }
    }

    private static void locked(InterProcessMutex mutex, Path folder) throws Exception {
        mutex.acquire();
        try {
            visit(folder);
        } finally {
            mutex.release();
        }
    }

    /** Orders all participants by the number at the end of their names, whatever stands before it. */
    private static final class ByNumber extends StandardLockInternalsDriver {
        @Override
        public String fixForSorting(String name, String lockName) {
            return name.substring(Math.max(0, name.length() - 10));
        }
    }

    private static void visit(Path folder) throws Exception {
        Path inside = folder.resolve("inside");
        try {
            Files.createFile(inside);
        } catch (FileAlreadyExistsException e) {
            throw new IllegalStateException("somebody else is inside", e);
        }
        List<String> line = Collections.singletonList("java");
        Path turns = folder.resolve("turns");
        Files.write(turns, line, StandardCharsets.UTF_8, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        Thread.sleep(2);
        Files.delete(inside);
    }
}
