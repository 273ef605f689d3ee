import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryOneTime;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;

/**
 * Curator's service discovery: {@code Services register BASE NAME HOST:PORT} registers an instance until its
 * standard input ends; {@code Services list BASE NAME HOST:PORT} prints the instances.
 */
public final class Services {
    private Services() {}

    public static void main(String[] arguments) throws Exception {
        try (CuratorFramework client = CuratorFrameworkFactory.newClient(arguments[3], new RetryOneTime(100))) {
            client.start();
            ServiceDiscoveryBuilder<Object> builder =
                    ServiceDiscoveryBuilder.builder(Object.class).client(client).basePath(arguments[1]);
            if (arguments[0].equals("register")) {
                builder.thisInstance(ServiceInstance.<Object>builder()
                        .name(arguments[2]).id("java").address("10.0.0.1").port(8080)
                        .payload(new LinkedHashMap<>(Map.of("zone", "south"))).build());
            }
            try (ServiceDiscovery<Object> discovery = builder.build()) {
                discovery.start();
                if (arguments[0].equals("register")) {
                    System.out.println("REGISTERED");
                    while (System.in.read() >= 0) {
                        // Until the end.
                    }
                } else {
                    for (ServiceInstance<Object> found : discovery.queryForInstances(arguments[2])) {
                        System.out.println(found.getId() + " " + found.getAddress() + ":" + found.getPort() + " "
                                + found.isEnabled() + " " + found.getPayload());
                    }
                }
            }
        }
    }
}
