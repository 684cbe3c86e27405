// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.Fd;
import org.ioasis.sys.UnixSocket;

/** The other side of {@link Control}. Any thread. */
public final class ControlClient {
    /** What is answered at once is answered in this time. */
    public static final int WAIT_MILLIS = 30_000;

    /** As long as it takes, or until the server ends. */
    public static final int WAIT_FOREVER = -1;

    private static final int ANSWER_MAX = 64 << 20;

    private ControlClient() {}

    /**
     * An answer.
     *
     * @param status 0 fine, 1 something is wrong, 2 not understood
     */
    public record Answer(int status, String text) {}

    /**
     * Asks one thing.
     *
     * @param waitMillis how long to wait for each part of the answer
     * @throws IOException nobody listens there, or what does is no server of ours
     */
    public static Answer ask(Path socket, String command, int waitMillis) throws IOException {
        byte[] line = (command + "\n").getBytes(StandardCharsets.UTF_8);
        MemorySegment buffer = Arena.ofAuto().allocate(1 << 16);
        ByteArrayOutputStream answer = new ByteArrayOutputStream();
        try (UnixSocket server = UnixSocket.connect(socket);
                Epoll epoll = Epoll.create()) {
            epoll.add(server.fd(), Epoll.IN, 0);
            buffer.copyFrom(MemorySegment.ofArray(line));
            if (server.send(buffer, 0, line.length, List.of()) != line.length) {
                throw new IOException(socket + " takes no command");
            }
            List<Fd> fds = new ArrayList<>();
            while (true) {
                if (epoll.await(waitMillis) == 0) {
                    throw new IOException(socket + " does not answer");
                }
                int n = server.receive(buffer, 0, (int) buffer.byteSize(), fds);
                fds.forEach(Fd::close);
                fds.clear();
                if (n == 0) {
                    break;
                }
                if (n != -Errno.EAGAIN) {
                    answer.write(buffer.asSlice(0, n).toArray(ValueLayout.JAVA_BYTE));
                }
                if (answer.size() > ANSWER_MAX) {
                    throw new IOException(socket + " answers without end");
                }
            }
        }
        String text = answer.toString(StandardCharsets.UTF_8);
        if (text.length() < 2 || text.charAt(1) != '\n' || "012".indexOf(text.charAt(0)) < 0) {
            throw new IOException(socket + " is no control socket of a server, or it is busy");
        }
        return new Answer(text.charAt(0) - '0', text.substring(2));
    }
}
