package suites;

import java.io.File;
import java.io.FileWriter;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.apache.zookeeper.server.ServerCnxn;
import org.apache.zookeeper.server.ServerCnxnFactory;
import org.apache.zookeeper.server.ZooKeeperServer;

/**
 * Put in place of the connections' factory by -Dzookeeper.serverCnxnFactory=suites.ExternalServer: what a test
 * believes to be a server within its own process is another process on the same port. The ZooKeeperServer that it is
 * given is never started; only its directory is used. -Dsuite.java names the program that is started as
 * `java ... QuorumPeerMain zoo.cfg`: a real java, or stand-in/java. -Dsuite.drop=PREFIX keeps settings from it.
 */
public final class ExternalServer extends ServerCnxnFactory {
    private InetSocketAddress address;
    private int maxPerHost;
    private int backlog;
    private Process process;

    @Override
    public void configure(InetSocketAddress addr, int maxcc, int backlog, boolean secure) {
        if (secure) {
            throw new UnsupportedOperationException("a secure port is not handed to the external server");
        }
        this.address = addr;
        this.maxPerHost = maxcc;
        this.backlog = backlog;
    }

    @Override
    public void startup(ZooKeeperServer zks, boolean startServer) throws IOException {
        setZooKeeperServer(zks);
        File directory = new File(zks.getTxnLogFactory().getDataLogDir().getParentFile(), "external");
        directory.mkdirs();
        File config = new File(directory, "zoo.cfg");
        try (FileWriter out = new FileWriter(config)) {
            out.write("dataDir=" + new File(directory, "data").getAbsolutePath() + "\n");
            out.write("clientPort=" + address.getPort() + "\n");
            out.write("tickTime=" + zks.getTickTime() + "\n");
            out.write("maxClientCnxns=" + maxPerHost + "\n");
        }
        List<String> command = new ArrayList<>();
        command.add(System.getProperty("suite.java"));
        command.add("-cp");
        command.add(System.getProperty("suite.classpath", "none"));
        System.getProperties().forEach((key, value) -> {
            String name = key.toString();
            String drop = System.getProperty("suite.drop", "");
            boolean ours = name.equals("zookeeper.serverCnxnFactory") || (!drop.isEmpty() && name.startsWith(drop));
            if ((name.startsWith("zookeeper.") && !ours) || name.matches("(znode|jute|readonlymode)\\..*")) {
                command.add("-D" + name + "=" + value);
            }
        });
        command.add("org.apache.zookeeper.server.quorum.QuorumPeerMain");
        command.add(config.getPath());
        File log = new File(System.getProperty("suite.log", "/dev/null"));
        try (FileWriter out = new FileWriter(log, true)) {
            out.write("starting " + command + "\n");
        }
        process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(log)).start();
        Process started = process;
        Runtime.getRuntime().addShutdownHook(new Thread(started::destroyForcibly));
        failIfItEnds();
    }

    /** A server that refuses its settings ends at once; then the test fails at once, instead of after 30 s. */
    private void failIfItEnds() throws IOException {
        for (int i = 0; i < 200 && process.isAlive(); i++) {
            try (Socket socket = new Socket("127.0.0.1", address.getPort())) {
                return;
            } catch (IOException notYet) {
                LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(10));
            }
        }
        if (!process.isAlive()) {
            throw new IOException("the external server ended with " + process.exitValue());
        }
    }

    @Override
    public void shutdown() {
        if (process == null) {
            return;
        }
        process.destroy();
        try {
            if (!process.waitFor(20, TimeUnit.SECONDS)) {
                process.destroyForcibly().waitFor();
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
        process = null;
    }

    @Override
    public int getLocalPort() {
        return address.getPort();
    }

    @Override
    public InetSocketAddress getLocalAddress() {
        return address;
    }

    @Override
    public Iterable<ServerCnxn> getConnections() {
        return Collections.emptyList();
    }

    @Override
    public void reconfigure(InetSocketAddress addr) {
        address = addr;
    }

    @Override
    public int getMaxClientCnxnsPerHost() {
        return maxPerHost;
    }

    @Override
    public void setMaxClientCnxnsPerHost(int max) {
        maxPerHost = max;
    }

    @Override
    public int getSocketListenBacklog() {
        return backlog;
    }

    @Override
    public void join() throws InterruptedException {
        if (process != null) {
            process.waitFor();
        }
    }

    @Override
    public void start() {
    }

    @Override
    public boolean closeSession(long sessionId, ServerCnxn.DisconnectReason reason) {
        return false;
    }

    @Override
    public void closeAll(ServerCnxn.DisconnectReason reason) {
    }

    @Override
    public void resetAllConnectionStats() {
    }

    @Override
    public Iterable<Map<String, Object>> getAllConnectionInfo(boolean brief) {
        return Collections.emptyList();
    }
}
