package org.apache.curator.test;

import java.io.File;
import java.io.FileWriter;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.server.quorum.QuorumPeerConfig;

/**
 * Comes before the class of this name in curator-test, so that TestingServer and TestingCluster run another process instead of a server
 * of their own. -Dsuite.java names the program that is started as `java ... QuorumPeerMain zoo.cfg`: a real java, or the stand-in stand-in/java.
 */
public class ZooKeeperServerEmbeddedAdapter implements ZooKeeperMainFace {
    private volatile Process process;
    private volatile int port;

    @Override
    public void start(QuorumPeerConfigBuilder builder) {
        try {
            Properties properties = builder.buildProperties();
            properties.put("admin.enableServer", "false");
            properties.put("4lw.commands.whitelist", "*");
            if (QuorumPeerConfig.isReconfigEnabled()) { // a static setting within this process
                properties.put("reconfigEnabled", "true");
            }
            boolean single = properties.stringPropertyNames().stream().noneMatch(key -> key.startsWith("server."));
            port = Integer.parseInt(properties.getProperty("clientPort"));
            if (port == 0) {
                port = freePort();
                properties.put("clientPort", Integer.toString(port));
            }
            launch(properties);
            await(single);
        } catch (Exception e) {
            close();
            throw new FailedServerStartException(e);
        }
    }

    private void launch(Properties properties) throws IOException {
        File config = File.createTempFile("suite", ".cfg");
        config.deleteOnExit();
        try (FileWriter out = new FileWriter(config)) {
            for (String key : properties.stringPropertyNames()) {
                out.write(key + "=" + properties.getProperty(key) + "\n");
            }
        }
        List<String> command = new ArrayList<>(List.of(System.getProperty("suite.java"), "-cp", System.getProperty("suite.classpath", "none")));
        System.getProperties().forEach((key, value) -> {
            String name = key.toString();
            if (name.matches("(zookeeper|znode|jute|readonlymode)\\..*")) {
                command.add("-D" + name + "=" + value);
            }
        });
        command.add("org.apache.zookeeper.server.quorum.QuorumPeerMain");
        command.add(config.getPath());
        File log = new File(System.getProperty("suite.log", "/dev/null"));
        try (FileWriter out = new FileWriter(log, true)) {
            out.write("starting " + command + " " + properties + "\n");
        }
        process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(log)).start();
        Process started = process;
        Runtime.getRuntime().addShutdownHook(new Thread(started::destroyForcibly));
    }

    /** A single server must serve; a member of several need only listen, or run at all, since it waits for the others. */
    private void await(boolean single) throws Exception {
        long limit = System.nanoTime() + TimeUnit.SECONDS.toNanos(single ? 60 : 5);
        while (System.nanoTime() < limit) {
            if (!process.isAlive()) {
                throw new IOException("the server ended with " + process.exitValue());
            }
            if (single ? ask("srvr").contains("Mode: ") : !ask("ruok").isEmpty()) {
                return;
            }
            Thread.sleep(20);
        }
        if (single) {
            throw new IOException("the server does not serve");
        }
    }

    private String ask(String word) {
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress("127.0.0.1", port), 1000);
            socket.setSoTimeout(1000);
            socket.getOutputStream().write(word.getBytes(StandardCharsets.US_ASCII));
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            return "";
        }
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }

    @Override
    public int getClientPort() {
        return port;
    }

    @Override
    public void kill() {
        end(true);
    }

    @Override
    public void close() {
        end(false);
    }

    private void end(boolean hard) {
        Process ending = process;
        if (ending == null) {
            return;
        }
        process = null;
        if (hard) {
            ending.destroyForcibly();
        } else {
            ending.destroy();
        }
        try {
            if (!ending.waitFor(20, TimeUnit.SECONDS)) {
                ending.destroyForcibly().waitFor();
            }
        } catch (InterruptedException e) {
            ending.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }
}
