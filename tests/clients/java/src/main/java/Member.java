import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.retry.RetryForever;
import org.apache.curator.retry.RetryOneTime;

/**
 * Uses Curator's recipes as lines of standard input say: {@code Member HOST:PORT}.
 * crates/recipes/examples/member.rs has the commands. Of the queues this has {@code simple}, of the counters
 * {@code int} and {@code long}.
 */
public final class Member {
    private final CuratorFramework client;
    private DistributedDoubleBarrier barrier;
    private GroupMember member;

    private Member(CuratorFramework client) {
        this.client = client;
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (CuratorFramework client = CuratorFrameworkFactory.newClient(arguments[0], new RetryOneTime(100))) {
            client.start();
            Member program = new Member(client);
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                System.out.println(program.obey(line.split(" ")));
            }
        }
    }

    private String obey(String[] words) throws Exception {
        switch (words[0]) {
            case "close" -> new DistributedBarrier(client, words[1]).setBarrier();
            case "open" -> new DistributedBarrier(client, words[1]).removeBarrier();
            case "wait" -> new DistributedBarrier(client, words[1]).waitOnBarrier();
            case "enter" -> {
                barrier = new DistributedDoubleBarrier(client, words[1], Integer.parseInt(words[2]));
                barrier.enter();
                settle();
            }
            case "leave" -> barrier.leave();
            case "put" -> new SimpleDistributedQueue(client, words[2]).offer(words[4].getBytes(StandardCharsets.UTF_8));
            case "take" -> {
                byte[] item = new SimpleDistributedQueue(client, words[2]).poll();
                return item == null ? "nothing" : new String(item, StandardCharsets.UTF_8);
            }
            case "add" -> add(words[1], words[2], Integer.parseInt(words[3]));
            case "count" -> {
                return count(words[1], words[2]);
            }
            case "join" -> {
                // kazoo's members are those with this in their ids, and their names are their data.
                byte[] name = words[2].getBytes(StandardCharsets.UTF_8);
                member = new GroupMember(client, words[1], words[2] + "__party__", name);
                member.start();
            }
            case "quit" -> member.close();
            case "members" -> {
                TreeSet<String> names = new TreeSet<>();
                member.getCurrentMembers().values().forEach(name -> names.add(new String(name, StandardCharsets.UTF_8)));
                return String.join(" ", names);
            }
            default -> throw new IllegalArgumentException(words[0]);
        }
        return "done";
    }

    /**
     * Waits until the barrier has heard of all that has happened: a late event of its entering wakes it while it
     * leaves, and it takes that for the end of another participant.
     */
    private void settle() throws Exception {
        CountDownLatch heard = new CountDownLatch(1);
        client.sync().inBackground((ignored, event) -> client.runSafe(heard::countDown)).forPath("/");
        heard.await();
    }

    private void add(String format, String path, int times) throws Exception {
        if (format.equals("long")) {
            DistributedAtomicLong number = new DistributedAtomicLong(client, path, new RetryForever(1));
            for (int time = 0; time < times; time++) {
                Check.that(number.increment().succeeded(), "not counted");
            }
            return;
        }
        try (SharedCount number = new SharedCount(client, path, 0)) {
            number.start();
            for (int time = 0; time < times; time++) {
                while (!number.trySetCount(number.getVersionedValue(), number.getCount() + 1)) {
                    // Another was faster.
                }
            }
        }
    }

    private String count(String format, String path) throws Exception {
        if (format.equals("long")) {
            return new DistributedAtomicLong(client, path, new RetryForever(1)).get().postValue().toString();
        }
        try (SharedCount number = new SharedCount(client, path, 0)) {
            number.start();
            return Integer.toString(number.getCount());
        }
    }
}
