import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryForever;
import org.apache.zookeeper.CreateMode;

/** Curator's recipes against a server: {@code Recipes HOST:PORT[,HOST:PORT…]}. */
public final class Recipes {
    private static String server;

    private Recipes() {}

    private static CuratorFramework connect() throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.builder()
                .connectString(server)
                .sessionTimeoutMs(10_000)
                .connectionTimeoutMs(10_000)
                .retryPolicy(new RetryForever(50))
                .build();
        client.start();
        Check.that(client.blockUntilConnected(Check.WAIT_SECONDS, TimeUnit.SECONDS), "not connected");
        return client;
    }

    private static void framework(CuratorFramework client) throws Exception {
        client.create().creatingParentsIfNeeded().forPath("/curator/a/b", "one".getBytes());
        client.create().orSetData().forPath("/curator/a/b", "two".getBytes());
        Check.equal("two", new String(client.getData().forPath("/curator/a/b")));
        client.create().creatingParentContainersIfNeeded().forPath("/curator/contained/x");
        String node = client.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath("/curator/a/p-");
        Check.that(node.startsWith("/curator/a/_c_"), node);
        client.create().withTtl(3_600_000).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath("/curator/ttl");
        List<CuratorTransactionResult> results = client.transaction().forOperations(
                client.transactionOp().check().withVersion(1).forPath("/curator/a/b"),
                client.transactionOp().create().forPath("/curator/multi"),
                client.transactionOp().delete().forPath("/curator/multi"));
        Check.equal(3, results.size());
        client.delete().deletingChildrenIfNeeded().forPath("/curator/a");
        Check.that(client.checkExists().forPath("/curator/a") == null, "a deleted tree exists");
    }

    private static void locks() throws Exception {
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger rounds = new AtomicInteger();
        ExecutorService workers = Executors.newFixedThreadPool(3);
        List<Future<?>> done = new ArrayList<>();
        for (int worker = 0; worker < 3; worker++) {
            done.add(workers.submit(() -> {
                try (CuratorFramework client = connect()) {
                    InterProcessMutex mutex = new InterProcessMutex(client, "/curator/mutex");
                    for (int round = 0; round < 5; round++) {
                        Check.that(mutex.acquire(Check.WAIT_SECONDS, TimeUnit.SECONDS), "no lock");
                        Check.equal(1, inside.incrementAndGet());
                        rounds.incrementAndGet();
                        inside.decrementAndGet();
                        mutex.release();
                    }
                }
                return null;
            }));
        }
        for (Future<?> worker : done) {
            worker.get(60, TimeUnit.SECONDS);
        }
        workers.shutdown();
        Check.equal(15, rounds.get());
    }

    private static void sharing(CuratorFramework client) throws Exception {
        try (CuratorFramework other = connect()) {
            InterProcessReadWriteLock mine = new InterProcessReadWriteLock(client, "/curator/rw");
            InterProcessReadWriteLock theirs = new InterProcessReadWriteLock(other, "/curator/rw");
            mine.readLock().acquire();
            Check.that(theirs.readLock().acquire(Check.WAIT_SECONDS, TimeUnit.SECONDS), "two may read");
            theirs.readLock().release();
            Check.that(!theirs.writeLock().acquire(200, TimeUnit.MILLISECONDS), "written while read");
            mine.readLock().release();
            Check.that(theirs.writeLock().acquire(Check.WAIT_SECONDS, TimeUnit.SECONDS), "the writer's turn");
            theirs.writeLock().release();
            InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, "/curator/semaphore", 1);
            InterProcessSemaphoreV2 second = new InterProcessSemaphoreV2(other, "/curator/semaphore", 1);
            var lease = semaphore.acquire();
            Check.that(second.acquire(200, TimeUnit.MILLISECONDS) == null, "one lease given twice");
            semaphore.returnLease(lease);
            Check.that(second.acquire(Check.WAIT_SECONDS, TimeUnit.SECONDS) != null, "the lease came back");
        }
    }

    private static void leadership(CuratorFramework client) throws Exception {
        try (CuratorFramework other = connect();
                LeaderLatch second = new LeaderLatch(other, "/curator/latch", "second")) {
            LeaderLatch first = new LeaderLatch(client, "/curator/latch", "first");
            first.start();
            Check.that(first.await(Check.WAIT_SECONDS, TimeUnit.SECONDS), "the only candidate leads");
            second.start();
            Check.eventually("both stand", () -> first.getParticipants().size() == 2);
            Check.that(!second.hasLeadership() && second.getLeader().getId().equals("first"), second.getLeader());
            first.close();
            Check.that(second.await(Check.WAIT_SECONDS, TimeUnit.SECONDS), "the next one leads");
        }
        CountDownLatch led = new CountDownLatch(1);
        LeaderSelectorListenerAdapter lead = new LeaderSelectorListenerAdapter() {
            @Override
            public void takeLeadership(CuratorFramework leader) {
                led.countDown();
            }
        };
        try (LeaderSelector selector = new LeaderSelector(client, "/curator/selector", lead)) {
            selector.start();
            Check.that(led.await(Check.WAIT_SECONDS, TimeUnit.SECONDS), "the selector leads");
        }
    }

    private static void caches(CuratorFramework client) throws Exception {
        client.create().forPath("/curator/cached", "0".getBytes());
        BlockingQueue<String> told = new LinkedBlockingQueue<>();
        CuratorCache cache = CuratorCache.build(client, "/curator/cached");
        cache.listenable().addListener(CuratorCacheListener.builder()
                .forCreates(node -> told.add("created " + node.getPath()))
                .forChanges((old, node) -> told.add("changed " + new String(node.getData())))
                .forDeletes(node -> told.add("deleted " + node.getPath()))
                .forInitialized(() -> told.add("initialized"))
                .build());
        cache.start();
        Check.equal("created /curator/cached", Check.next(told));
        Check.equal("initialized", Check.next(told));
        client.create().forPath("/curator/cached/a", "1".getBytes());
        Check.equal("created /curator/cached/a", Check.next(told));
        client.setData().forPath("/curator/cached/a", "2".getBytes());
        Check.equal("changed 2", Check.next(told));
        client.delete().forPath("/curator/cached/a");
        Check.equal("deleted /curator/cached/a", Check.next(told));
        cache.close();
    }

    private static void counters(CuratorFramework client) throws Exception {
        DistributedAtomicLong number = new DistributedAtomicLong(client, "/curator/long", new RetryForever(1));
        for (int round = 0; round < 10; round++) {
            Check.that(number.increment().succeeded(), "not counted");
        }
        Check.equal(10L, number.get().postValue());
        try (SharedCount count = new SharedCount(client, "/curator/count", 3)) {
            count.start();
            Check.that(count.trySetCount(count.getVersionedValue(), 4) && count.getCount() == 4, count.getCount());
        }
        SimpleDistributedQueue queue = new SimpleDistributedQueue(client, "/curator/queue");
        queue.offer("a".getBytes());
        queue.offer("b".getBytes());
        Check.equal("a", new String(queue.take()));
        Check.equal("b", new String(queue.poll(Check.WAIT_SECONDS, TimeUnit.SECONDS)));
    }

    private static void barriers(CuratorFramework client) throws Exception {
        try (CuratorFramework other = connect()) {
            DistributedBarrier barrier = new DistributedBarrier(client, "/curator/barrier");
            barrier.setBarrier();
            Check.that(!barrier.waitOnBarrier(100, TimeUnit.MILLISECONDS), "an open barrier");
            new DistributedBarrier(other, "/curator/barrier").removeBarrier();
            Check.that(barrier.waitOnBarrier(Check.WAIT_SECONDS, TimeUnit.SECONDS), "the barrier stays");
            ExecutorService thread = Executors.newSingleThreadExecutor();
            Future<Boolean> entered = thread.submit(() -> {
                DistributedDoubleBarrier theirs = new DistributedDoubleBarrier(other, "/curator/double", 2);
                return theirs.enter(Check.WAIT_SECONDS, TimeUnit.SECONDS) && theirs.leave(Check.WAIT_SECONDS, TimeUnit.SECONDS);
            });
            DistributedDoubleBarrier mine = new DistributedDoubleBarrier(client, "/curator/double", 2);
            Check.that(mine.enter(Check.WAIT_SECONDS, TimeUnit.SECONDS), "the other never came");
            Check.that(mine.leave(Check.WAIT_SECONDS, TimeUnit.SECONDS) && entered.get(), "the other never left");
            thread.shutdown();
        }
    }

    /** What Curator keeps alive stays alive over a restart of the server. */
    private static void restart(CuratorFramework control) throws Exception {
        try (CuratorFramework client = connect();
                PersistentNode node = new PersistentNode(client, CreateMode.EPHEMERAL, false, "/curator/persistent", "here".getBytes());
                PersistentTtlNode ttl = new PersistentTtlNode(client, "/curator/kept", 60_000, new byte[0]);
                GroupMember member = new GroupMember(client, "/curator/group", "me");
                LeaderLatch latch = new LeaderLatch(client, "/curator/leader", "me");
                CuratorCache cache = CuratorCache.build(client, "/curator/followed")) {
            node.start();
            ttl.start();
            member.start();
            latch.start();
            cache.start();
            Check.that(node.waitForInitialCreate(Check.WAIT_SECONDS, TimeUnit.SECONDS), "no persistent node");
            Check.that(latch.await(Check.WAIT_SECONDS, TimeUnit.SECONDS), "no leadership");
            Check.eventually("the member stands in the group", () -> member.getCurrentMembers().containsKey("me"));
            InterProcessMutex mutex = new InterProcessMutex(client, "/curator/held");
            mutex.acquire();
            long session = client.getZookeeperClient().getZooKeeper().getSessionId();
            BlockingQueue<ConnectionState> states = new LinkedBlockingQueue<>();
            client.getConnectionStateListenable().addListener((ignored, state) -> states.add(state));
            Check.restartServer(session);
            Check.equal(ConnectionState.SUSPENDED, Check.next(states));
            Check.equal(ConnectionState.RECONNECTED, Check.next(states));
            Check.equal(session, client.getZookeeperClient().getZooKeeper().getSessionId());
            control.blockUntilConnected();
            Check.eventually("the node is there", () -> control.checkExists().forPath("/curator/persistent") != null);
            Check.equal(session, control.checkExists().forPath("/curator/persistent").getEphemeralOwner());
            Check.that(!new InterProcessMutex(control, "/curator/held").acquire(300, TimeUnit.MILLISECONDS), "the lock was lost");
            mutex.release();
            Check.that(latch.await(Check.WAIT_SECONDS, TimeUnit.SECONDS), "leadership does not come back");
            control.create().forPath("/curator/followed", "new".getBytes());
            Check.eventually("the cache follows", () -> cache.get("/curator/followed").isPresent());
        }
        Check.eventually("the node goes with its session", () -> control.checkExists().forPath("/curator/persistent") == null);
    }

    public static void main(String[] arguments) throws Exception {
        server = arguments[0];
        try (CuratorFramework client = connect()) {
            Check.passed("framework", () -> framework(client));
            Check.passed("locks", Recipes::locks);
            Check.passed("sharing", () -> sharing(client));
            Check.passed("leadership", () -> leadership(client));
            Check.passed("caches", () -> caches(client));
            Check.passed("counters", () -> counters(client));
            Check.passed("barriers", () -> barriers(client));
            Check.passed("restart", () -> restart(client));
        }
        System.out.println("PASSED");
    }
}
