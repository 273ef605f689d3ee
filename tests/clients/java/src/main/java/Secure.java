import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;

/** Clients with certificates: {@code Secure FOLDER HOST:PORT}. The folder has ca.pem, client.pem, other.pem and chief.pem. */
public final class Secure {
    private Secure() {}

    private static ZooKeeper connect(String folder, String name, String server) throws Exception {
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty("zookeeper.client.secure", "true");
        config.setProperty("zookeeper.clientCnxnSocket", "org.apache.zookeeper.ClientCnxnSocketNetty");
        config.setProperty("zookeeper.ssl.keyStore.location", folder + "/" + name + ".pem");
        config.setProperty("zookeeper.ssl.trustStore.location", folder + "/ca.pem");
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper zk = new ZooKeeper(server, 10_000, event -> {
            if (event.getState() == KeeperState.SyncConnected) {
                connected.countDown();
            }
        }, config);
        Check.that(connected.await(Check.WAIT_SECONDS, TimeUnit.SECONDS), "not connected");
        return zk;
    }

    public static void main(String[] arguments) throws Exception {
        String folder = arguments[0];
        String server = arguments[1];
        ZooKeeper client = connect(folder, "client", server);
        ZooKeeper other = connect(folder, "other", server);
        ZooKeeper chief = connect(folder, "chief", server);

        Id id = new Id("x509", "CN=client,OU=a\\, b,O=Ostler");
        boolean isListed = false;
        for (ClientInfo info : client.whoAmI()) {
            isListed |= info.getAuthScheme().equals(id.getScheme()) && info.getUser().equals(id.getId());
        }
        Check.that(isListed, client.whoAmI());
        client.create("/mine", new byte[] {1}, Arrays.asList(new ACL(Perms.ALL, id)), CreateMode.PERSISTENT);
        Check.that(client.getData("/mine", false, null).length == 1, "the owner reads");
        Check.refuses(Code.NOAUTH, () -> other.getData("/mine", false, null));
        Check.that(chief.getData("/mine", false, null).length == 1, "the super user reads");
        client.create("/all", new byte[0], Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        Check.equal(Arrays.asList(new ACL(Perms.ALL, id)), client.getACL("/all", null));
        Check.refuses(Code.NOAUTH, () -> other.setData("/all", null, -1));
        List<ACL> bad = Arrays.asList(new ACL(Perms.ALL, new Id("x509", "no name")));
        Check.refuses(Code.INVALIDACL, () -> client.create("/bad", new byte[0], bad, CreateMode.PERSISTENT));
        for (ZooKeeper each : List.of(client, other, chief)) {
            each.close();
        }
        System.out.println("PASSED");
    }
}
