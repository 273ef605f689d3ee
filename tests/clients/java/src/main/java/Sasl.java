import java.util.Arrays;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;

/**
 * The Java client authenticates by SASL: {@code Sasl HOST:PORT}. Its JAAS file has the sections Bob and Wrong of
 * tests/src/jaas.rs, or such as make it log in by Kerberos. The property {@code identity} is the identity of Bob, and
 * {@code wrong.service} the service for which Wrong gets a ticket.
 */
@SuppressWarnings("try")
public final class Sasl {
    private static String server;

    private Sasl() {}

    /** A client with this section of the JAAS file, or without SASL. */
    private static ZooKeeper client(String section, BlockingQueue<WatchedEvent> events) throws Exception {
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty(ZKClientConfig.ENABLE_CLIENT_SASL_KEY, String.valueOf(section != null));
        config.setProperty(ZKClientConfig.LOGIN_CONTEXT_NAME_KEY, String.valueOf(section));
        if ("Wrong".equals(section) && System.getProperty("wrong.service") != null) {
            config.setProperty(ZKClientConfig.ZOOKEEPER_SERVER_PRINCIPAL, System.getProperty("wrong.service"));
        }
        return new ZooKeeper(server, 10_000, events::add, config);
    }

    /** Waits for a state; the states before it. */
    private static void await(KeeperState state, BlockingQueue<WatchedEvent> events) throws Exception {
        while (true) {
            WatchedEvent event = events.poll(Check.WAIT_SECONDS, TimeUnit.SECONDS);
            Check.that(event != null, "no " + state);
            if (event.getState() == state) {
                return;
            }
            Check.that(event.getState() != KeeperState.AuthFailed, event);
        }
    }

    private static void rightPassword() throws Exception {
        String identity = System.getProperty("identity", "bob");
        BlockingQueue<WatchedEvent> events = new LinkedBlockingQueue<>();
        try (ZooKeeper bob = client("Bob", events)) {
            await(KeeperState.SaslAuthenticated, events);
            List<ACL> acl = Arrays.asList(new ACL(Perms.ALL, new Id("sasl", identity)));
            bob.create("/java-sasl", new byte[1], acl, CreateMode.PERSISTENT);
            bob.create("/java-auth", new byte[1], Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
            Check.equal(acl, bob.getACL("/java-auth", null));
            Check.equal(1, bob.getData("/java-sasl", false, null).length);
        }
        BlockingQueue<WatchedEvent> others = new LinkedBlockingQueue<>();
        try (ZooKeeper stranger = client(null, others)) {
            await(KeeperState.SyncConnected, others);
            Check.refuses(Code.NOAUTH, () -> stranger.getData("/java-sasl", false, null));
        }
    }

    private static void wrongPassword() throws Exception {
        BlockingQueue<WatchedEvent> events = new LinkedBlockingQueue<>();
        try (ZooKeeper wrong = client("Wrong", events)) {
            while (true) {
                WatchedEvent event = events.poll(Check.WAIT_SECONDS, TimeUnit.SECONDS);
                Check.that(event != null, "no AuthFailed");
                Check.that(event.getState() != KeeperState.SaslAuthenticated, event);
                if (event.getState() == KeeperState.AuthFailed) {
                    break;
                }
            }
            Check.refuses(Code.AUTHFAILED, () -> wrong.exists("/", false));
        }
    }

    public static void main(String[] arguments) throws Exception {
        server = arguments[0];
        rightPassword();
        System.out.println("the right password");
        wrongPassword();
        System.out.println("a wrong password");
        System.out.println("PASSED");
    }
}
