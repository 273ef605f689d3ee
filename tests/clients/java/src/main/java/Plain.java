import java.util.Arrays;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/** The Java client against a server: {@code Plain HOST:PORT[,HOST:PORT…]}. */
public final class Plain {
    private static String server;

    private Plain() {}

    private static ZooKeeper connect(BlockingQueue<WatchedEvent> session) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper zk = new ZooKeeper(server, 10_000, event -> {
            session.add(event);
            if (event.getState() == KeeperState.SyncConnected) {
                connected.countDown();
            }
        });
        Check.that(connected.await(Check.WAIT_SECONDS, TimeUnit.SECONDS), "not connected");
        return zk;
    }

    private static ZooKeeper connect() throws Exception {
        return connect(new LinkedBlockingQueue<>());
    }

    private static byte[] bytes(String text) {
        return text.getBytes();
    }

    private static String create(ZooKeeper zk, String path, CreateMode mode) throws Exception {
        return zk.create(path, bytes("x"), Ids.OPEN_ACL_UNSAFE, mode);
    }

    private static void crud(ZooKeeper zk) throws Exception {
        Stat stat = new Stat();
        Check.equal("/java", zk.create("/java", bytes("one"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, stat));
        Check.that(stat.getVersion() == 0 && stat.getCzxid() == stat.getPzxid() && stat.getDataLength() == 3, stat);
        Check.refuses(Code.NODEEXISTS, () -> create(zk, "/java", CreateMode.PERSISTENT));
        Check.equal("one", new String(zk.getData("/java", false, null)));
        Check.equal(1, zk.setData("/java", bytes("two"), 0).getVersion());
        Check.refuses(Code.BADVERSION, () -> zk.setData("/java", bytes("three"), 0));
        zk.setData("/java", null, -1);
        Check.that(zk.getData("/java", false, null) == null, "null data is not empty data");
        create(zk, "/java/child", CreateMode.PERSISTENT);
        Check.equal(List.of("child"), zk.getChildren("/java", false));
        Check.equal(List.of("child"), zk.getChildren("/java", false, stat));
        Check.that(stat.getNumChildren() == 1 && stat.getCversion() == 1 && stat.getVersion() == 2, stat);
        Check.refuses(Code.NOTEMPTY, () -> zk.delete("/java", -1));
        Check.equal(1, zk.getAllChildrenNumber("/java"));
        zk.delete("/java/child", 0);
        Check.that(zk.exists("/java/child", false) == null, "a deleted node exists");
        Check.refuses(Code.NONODE, () -> zk.getData("/java/child", false, null));
        zk.sync("/java");
        Check.that(zk.whoAmI().stream().anyMatch(info -> info.getAuthScheme().equals("ip")), zk.whoAmI());
    }

    private static void kinds(ZooKeeper zk) throws Exception {
        create(zk, "/java/seq", CreateMode.PERSISTENT);
        for (int number = 0; number < 3; number++) {
            Check.equal("/java/seq/n-000000000" + number, create(zk, "/java/seq/n-", CreateMode.PERSISTENT_SEQUENTIAL));
        }
        Check.equal("/java/c", create(zk, "/java/c", CreateMode.CONTAINER));
        Stat stat = new Stat();
        zk.create("/java/ttl", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, stat, 3_600_000);
        Check.equal(0L, stat.getEphemeralOwner());
        String last = zk.create("/java/t-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, stat, 1_000_000);
        Check.that(last.matches("/java/t-\\d{10}"), last);
    }

    private static void ephemerals(ZooKeeper zk) throws Exception {
        ZooKeeper other = connect();
        create(other, "/java/ephemeral", CreateMode.EPHEMERAL);
        Check.equal(List.of("/java/ephemeral"), other.getEphemerals());
        Check.equal(List.of(), zk.getEphemerals());
        Check.refuses(Code.NOCHILDRENFOREPHEMERALS, () -> create(other, "/java/ephemeral/child", CreateMode.PERSISTENT));
        BlockingQueue<WatchedEvent> events = new LinkedBlockingQueue<>();
        Check.equal(other.getSessionId(), zk.exists("/java/ephemeral", events::add).getEphemeralOwner());
        other.close();
        Check.next(events, EventType.NodeDeleted, "/java/ephemeral");
    }

    private static void watches(ZooKeeper zk) throws Exception {
        BlockingQueue<WatchedEvent> events = new LinkedBlockingQueue<>();
        zk.exists("/java/w", events::add);
        create(zk, "/java/w", CreateMode.PERSISTENT);
        Check.next(events, EventType.NodeCreated, "/java/w");
        zk.getData("/java/w", events::add, null);
        zk.setData("/java/w", null, -1);
        Check.next(events, EventType.NodeDataChanged, "/java/w");
        zk.getChildren("/java/w", events::add);
        create(zk, "/java/w/child", CreateMode.PERSISTENT);
        Check.next(events, EventType.NodeChildrenChanged, "/java/w");
        Watcher removed = events::add;
        zk.getData("/java/w", removed, null);
        zk.removeWatches("/java/w", removed, WatcherType.Data, false);
        Check.next(events, EventType.DataWatchRemoved, "/java/w");
        Check.refuses(Code.NOWATCHER, () -> zk.removeWatches("/java/w", removed, WatcherType.Data, false));
        zk.setData("/java/w", null, -1);
        Check.that(events.isEmpty(), events);
    }

    private static void persistentWatches(ZooKeeper zk) throws Exception {
        BlockingQueue<WatchedEvent> plain = new LinkedBlockingQueue<>();
        BlockingQueue<WatchedEvent> recursive = new LinkedBlockingQueue<>();
        zk.addWatch("/java/w", plain::add, AddWatchMode.PERSISTENT);
        zk.addWatch("/java", recursive::add, AddWatchMode.PERSISTENT_RECURSIVE);
        zk.setData("/java/w/child", null, -1);
        zk.delete("/java/w/child", -1);
        zk.setData("/java/w", null, -1);
        zk.setData("/java/w", null, -1);
        Check.next(plain, EventType.NodeChildrenChanged, "/java/w");
        Check.next(plain, EventType.NodeDataChanged, "/java/w");
        Check.next(plain, EventType.NodeDataChanged, "/java/w");
        Check.next(recursive, EventType.NodeDataChanged, "/java/w/child");
        Check.next(recursive, EventType.NodeDeleted, "/java/w/child");
        Check.next(recursive, EventType.NodeDataChanged, "/java/w");
        Check.next(recursive, EventType.NodeDataChanged, "/java/w");
        zk.removeAllWatches("/java", WatcherType.Any, false);
        Check.next(recursive, EventType.PersistentWatchRemoved, "/java");
    }

    private static void acls(ZooKeeper zk) throws Exception {
        ZooKeeper ann = connect();
        ann.addAuthInfo("digest", bytes("ann:secret"));
        ann.create("/java/private", bytes("hers"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        Check.refuses(Code.NOAUTH, () -> zk.getData("/java/private", false, null));
        Check.refuses(Code.NOAUTH, () -> zk.exists("/java/private", false));
        Check.refuses(Code.NOAUTH, () -> zk.getACL("/java/private", null));
        Check.refuses(Code.INVALIDACL, () -> zk.create("/java/none", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        Check.refuses(Code.INVALIDACL, () -> zk.create("/java/none", null, Arrays.asList(new ACL(Perms.ALL, new Id("nonesuch", "x"))), CreateMode.PERSISTENT));
        Stat stat = new Stat();
        List<ACL> acl = ann.getACL("/java/private", stat);
        Check.that(acl.size() == 1 && acl.get(0).getId().getId().startsWith("ann:"), acl);
        List<ACL> readable = Arrays.asList(acl.get(0), new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE));
        Check.equal(1, ann.setACL("/java/private", readable, 0).getAversion());
        Check.equal("hers", new String(zk.getData("/java/private", false, null)));
        Check.equal("ann:x", zk.getACL("/java/private", null).get(0).getId().getId());
        zk.create("/java/ip", null, Arrays.asList(new ACL(Perms.ALL, new Id("ip", "127.0.0.0/8"))), CreateMode.PERSISTENT);
        zk.setData("/java/ip", null, -1);
        ann.close();
    }

    private static void multi(ZooKeeper zk) throws Exception {
        create(zk, "/java/m", CreateMode.PERSISTENT);
        List<OpResult> results = zk.multi(Arrays.asList(
                Op.check("/java/m", 0),
                Op.create("/java/m/a", bytes("1"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                Op.create("/java/m/c", null, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER),
                Op.create("/java/m/t", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, 3_600_000),
                Op.setData("/java/m/a", bytes("2"), 0),
                Op.delete("/java/m/c", 0)));
        Check.equal("/java/m/a", ((OpResult.CreateResult) results.get(1)).getPath());
        Check.equal(1, ((OpResult.SetDataResult) results.get(4)).getStat().getVersion());
        try {
            zk.multi(List.of(Op.delete("/java/m/a", 1), Op.check("/java/m", 7), Op.delete("/java/m/t", -1)));
            throw new AssertionError("half of a multi happened");
        } catch (KeeperException.BadVersionException e) {
            List<Integer> codes = e.getResults().stream().map(result -> ((OpResult.ErrorResult) result).getErr()).toList();
            Check.equal(List.of(0, Code.BADVERSION.intValue(), Code.RUNTIMEINCONSISTENCY.intValue()), codes);
        }
        results = zk.multi(List.of(Op.getData("/java/m/a"), Op.getChildren("/java/m"), Op.getData("/java/none")));
        Check.equal("2", new String(((OpResult.GetDataResult) results.get(0)).getData()));
        Check.equal(2, ((OpResult.GetChildrenResult) results.get(1)).getChildren().size());
        Check.equal(Code.NONODE.intValue(), ((OpResult.ErrorResult) results.get(2)).getErr());
    }

    /** A fourth server becomes an observer and goes again. */
    private static void members(ZooKeeper zk) throws Exception {
        String spare = Check.spareServer();
        if (spare.equals("NONE")) {
            return;
        }
        ZooKeeperAdmin admin = new ZooKeeperAdmin(server, 10_000, event -> {});
        Check.refuses(Code.NOAUTH, () -> admin.reconfigure(spare, null, null, -1, new Stat()));
        admin.addAuthInfo("digest", bytes("super:test"));
        BlockingQueue<WatchedEvent> changed = new LinkedBlockingQueue<>();
        String before = new String(zk.getConfig(event -> keep(changed, event), null));
        long version = Long.parseLong(before.substring(before.indexOf("version=") + 8), 16);
        Check.refuses(Code.BADVERSION, () -> admin.reconfigure(spare, null, null, version + 1, new Stat()));
        Stat stat = new Stat();
        String after = new String(admin.reconfigure(spare, null, null, version, stat));
        Check.that(after.contains(spare + "\n") && after.endsWith("version=" + Long.toHexString(stat.getMzxid())), after);
        Check.next(changed, EventType.NodeDataChanged, "/zookeeper/config");
        Check.equal(after, new String(zk.getConfig(false, null)));
        String removed = new String(admin.reconfigure(null, "4", null, -1, new Stat()));
        Check.that(!removed.contains("server.4="), removed);
        admin.close();
    }

    /** The session, its ephemerals and all kinds of watches outlive the server's process. */
    private static void restart(ZooKeeper control) throws Exception {
        BlockingQueue<WatchedEvent> session = new LinkedBlockingQueue<>();
        ZooKeeper zk = connect(session);
        long id = zk.getSessionId();
        create(zk, "/java/survivor", CreateMode.EPHEMERAL);
        create(zk, "/java/after", CreateMode.PERSISTENT);
        BlockingQueue<WatchedEvent> data = new LinkedBlockingQueue<>();
        BlockingQueue<WatchedEvent> children = new LinkedBlockingQueue<>();
        BlockingQueue<WatchedEvent> created = new LinkedBlockingQueue<>();
        BlockingQueue<WatchedEvent> recursive = new LinkedBlockingQueue<>();
        zk.getData("/java/after", event -> keep(data, event), null);
        zk.getChildren("/java/after", event -> keep(children, event));
        zk.exists("/java/later", event -> keep(created, event));
        zk.addWatch("/java/after", event -> keep(recursive, event), AddWatchMode.PERSISTENT_RECURSIVE);
        Check.restartServer(id);
        Check.equal(KeeperState.SyncConnected, Check.next(session).getState());
        Check.equal(KeeperState.Disconnected, Check.next(session).getState());
        Check.equal(KeeperState.SyncConnected, Check.next(session).getState());
        Check.equal(id, zk.getSessionId());
        Check.equal(id, zk.exists("/java/survivor", false).getEphemeralOwner());
        ZooKeeper other = connect();
        other.setData("/java/after", bytes("after"), 0);
        create(other, "/java/after/child", CreateMode.PERSISTENT);
        create(other, "/java/later", CreateMode.PERSISTENT);
        Check.next(data, EventType.NodeDataChanged, "/java/after");
        Check.next(children, EventType.NodeChildrenChanged, "/java/after");
        Check.next(created, EventType.NodeCreated, "/java/later");
        Check.next(recursive, EventType.NodeDataChanged, "/java/after");
        Check.next(recursive, EventType.NodeCreated, "/java/after/child");
        BlockingQueue<WatchedEvent> gone = new LinkedBlockingQueue<>();
        other.exists("/java/survivor", gone::add);
        zk.close();
        Check.next(gone, EventType.NodeDeleted, "/java/survivor");
        other.close();
    }

    /** A watcher is told of the lost connection too; what counts here are the nodes. */
    private static void keep(BlockingQueue<WatchedEvent> events, WatchedEvent event) {
        if (event.getType() != EventType.None) {
            events.add(event);
        }
    }

    public static void main(String[] arguments) throws Exception {
        server = arguments[0];
        ZooKeeper zk = connect();
        Check.passed("crud", () -> crud(zk));
        Check.passed("kinds of nodes", () -> kinds(zk));
        Check.passed("ephemerals", () -> ephemerals(zk));
        Check.passed("watches", () -> watches(zk));
        Check.passed("persistent watches", () -> persistentWatches(zk));
        // With a certificate each client has an identity that CREATOR_ALL stands for: see Secure.
        if (!Boolean.getBoolean("zookeeper.client.secure")) {
            Check.passed("acls", () -> acls(zk));
        }
        Check.passed("multi", () -> multi(zk));
        Check.passed("members", () -> members(zk));
        Check.passed("restart", () -> restart(zk));
        zk.close();
        System.out.println("PASSED");
    }
}
