// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * QEMU's control socket, for the one thing that we ask of a running QEMU (QEMU, QMP specification).
 * One thread; blocks.
 */
public final class Qmp implements AutoCloseable {
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
            qmp.execute("{\"execute\":\"qmp_capabilities\"}");
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
        execute(
                "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"vfio-user-pci\",\"id\":\"plugged\",\"bus\":\"%s\",\"socket\":{\"type\":\"unix\",\"path\":%s}}}"
                        .formatted(
                                QemuCommand.ROOT_PORT, QemuCommand.quotedJson(socket.toString())));
    }

    private void execute(String command) throws IOException {
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
