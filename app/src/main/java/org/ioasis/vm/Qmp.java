// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.InterruptedIOException;
import java.net.SocketException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.ioasis.topology.QemuArguments;

/**
 * QEMU's control socket, for the little that we ask of a running QEMU (QEMU, QMP specification).
 * One thread; blocks.
 */
public final class Qmp implements AutoCloseable {
    private static final JsonFactory JSON = new JsonFactory();
    private static final long STATE_SECONDS = 5;
    private static final long RETRY_MILLIS = 20;

    /** Lines of "info registers" that say where a processor is and with what. */
    private static final Pattern GENERAL = Pattern.compile("^(CPU#|R[A-Z0-9]{1,2} *=)");

    /** What the monitor's command xp prints of one word: its address and its value. */
    private static final Pattern WORD =
            Pattern.compile("[0-9a-f]{8,16}: 0x([0-9a-f]{8}|[0-9a-f]{16})\\s*");

    private static final String RETURN = "{\"return\"";
    private static final String ERROR = "{\"error\"";

    private final SocketChannel channel;
    private final BufferedReader answers;

    private Qmp(SocketChannel channel) {
        this.channel = channel;
        InputStream in = Channels.newInputStream(channel);
        answers = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8));
    }

    /** Connects to the socket that QEMU was started with. */
    public static Qmp connect(Path socket) throws IOException {
        SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            channel.connect(UnixDomainSocketAddress.of(socket));
            Qmp qmp = new Qmp(channel);
            qmp.line();
            var _ = qmp.execute("{\"execute\":\"qmp_capabilities\"}");
            return qmp;
        } catch (IOException e) {
            channel.close();
            throw e;
        }
    }

    /**
     * Plugs in a PCI function that is served at {@code socket}, behind the root port.
     *
     * <p>There is no way back: QEMU 11.1.3 aborts when a vfio-user-pci with MSI-X is unplugged.
     */
    public void plugIn(Path socket) throws IOException {
        var _ =
                execute(
                        "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"vfio-user-pci\",\"id\":\"plugged\",\"bus\":\"%s\",\"socket\":{\"type\":\"unix\",\"path\":%s}}}"
                                .formatted(
                                        QemuCommand.ROOT_PORT,
                                        QemuArguments.quotedJson(socket.toString())));
    }

    /**
     * Holds the I/O of a disk: one more request is done at most, the rest when it is let go.
     *
     * @param device what has the drive, by its path among QEMU's objects
     */
    public void hold(String device) throws IOException {
        execute(
                "{\"execute\":\"block_set_io_throttle\",\"arguments\":{\"id\":%s,\"bps\":1,\"bps_rd\":0,\"bps_wr\":0,\"iops\":0,\"iops_rd\":0,\"iops_wr\":0}}"
                        .formatted(QemuArguments.quotedJson(device)));
    }

    /** Stops the processors; I/O that was asked for comes to its end. */
    public void stop() throws IOException {
        execute("{\"execute\":\"stop\"}");
    }

    /** Lets the processors run again. */
    public void goOn() throws IOException {
        execute("{\"execute\":\"cont\"}");
    }

    /** Resets the machine, as its button does. */
    public void reset() throws IOException {
        var _ = execute("{\"execute\":\"system_reset\"}");
    }

    /** True if the only processor of a PC waits for an interrupt: the guest has nothing to do. */
    public boolean isHalted() throws IOException {
        return monitor("info registers").contains("HLT=1");
    }

    /**
     * Reads a register that a device has in memory, as firmware would.
     *
     * @param bytes 4 or 8
     */
    public long register(long address, int bytes) throws IOException {
        String text = monitor("xp /1%sx 0x%x".formatted(bytes == Long.BYTES ? "g" : "w", address));
        Matcher word = WORD.matcher(text);
        if (!word.matches()) {
            throw new IOException(
                    "QEMU does not tell what is at 0x%x: %s".formatted(address, text));
        }
        return Long.parseUnsignedLong(word.group(1), 16);
    }

    /**
     * Registers of all processors and the first one's stack, for people; of a QEMU that does not
     * answer in time, that.
     */
    public static String state(Path socket) {
        CompletableFuture<String> answer = new CompletableFuture<>();
        Thread _ =
                Thread.ofPlatform()
                        .daemon()
                        .name("state of the guest")
                        .start(() -> {
                            try (Qmp qmp = connectWhenReady(socket)) {
                                answer.complete(
                                        "processors:\n%sstack (with --append nokaslr its words are as in System.map):\n%s"
                                                .formatted(
                                                        general(qmp.monitor("info registers -a")),
                                                        qmp.monitor("x /32gx $rsp")));
                            } catch (IOException e) {
                                answer.completeExceptionally(e);
                            }
                        });
        try {
            return answer.get(STATE_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException e) {
            return "QEMU does not tell the state of the guest: " + e + "\n";
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return "";
        }
    }

    /** QEMU may have been started a moment ago. */
    private static Qmp connectWhenReady(Path socket) throws IOException {
        for (long left = STATE_SECONDS * 1000 / RETRY_MILLIS; ; left--) {
            try {
                return connect(socket);
            } catch (SocketException e) {
                if (left == 0) {
                    throw e;
                }
            }
            try {
                Thread.sleep(RETRY_MILLIS);
            } catch (InterruptedException e) {
                throw new InterruptedIOException("while QEMU was not ready");
            }
        }
    }

    /** Without segments, control and vector registers, which are many. */
    static String general(String registers) {
        return registers
                .lines()
                .filter(line -> GENERAL.matcher(line).find())
                .map(line -> line + "\n")
                .collect(Collectors.joining());
    }

    /** What a command of the human monitor prints. */
    private String monitor(String command) throws IOException {
        String line =
                execute(
                        "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":%s}}"
                                .formatted(QemuArguments.quotedJson(command)));
        try (JsonParser json = JSON.createParser(line)) {
            while (json.nextToken() != null) {
                if (json.currentToken() == JsonToken.VALUE_STRING) {
                    return json.getText().replace("\r", "");
                }
            }
        }
        return "";
    }

    private String execute(String command) throws IOException {
        ByteBuffer bytes = StandardCharsets.UTF_8.encode(command + "\n");
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
        String line = line();
        while (!line.startsWith(RETURN)) {
            if (line.startsWith(ERROR)) {
                throw new IOException("QEMU refuses " + command + ": " + line);
            }
            line = line(); // an event
        }
        return line;
    }

    private String line() throws IOException {
        String line = answers.readLine();
        if (line == null) {
            throw new IOException("QEMU has closed its control socket");
        }
        return line;
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
