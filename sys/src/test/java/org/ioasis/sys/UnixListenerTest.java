// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class UnixListenerTest {
    @TempDir Path folder;

    @Test
    void pathThatIsTooLongIsRefusedWithItsLengthAndTheLimit() {
        Path path = pathOfLength(108);

        assertThatThrownBy(() -> UnixListener.bind(path))
                .isInstanceOf(ErrnoException.class)
                .hasMessage("bind " + path + " (108 bytes, at most 107): ENAMETOOLONG");
        assertThatThrownBy(() -> UnixSocket.connect(path))
                .isInstanceOf(ErrnoException.class)
                .hasMessage("connect " + path + " (108 bytes, at most 107): ENAMETOOLONG");
    }

    @Test
    void longestPathWorks() throws Exception {
        Path path = pathOfLength(107);

        try (UnixListener listener = UnixListener.bind(path);
                UnixSocket client = UnixSocket.connect(path)) {
            assertThat(Files.exists(path)).isTrue();
            assertThat(listener.path()).isEqualTo(path);
            assertThat(client.fd()).isNotEqualTo(listener.fd());
        }
        assertThat(folder).isEmptyDirectory();
    }

    @Test
    void emptyPathIsRefusedAndNotBoundElsewhere() {
        assertThatThrownBy(() -> UnixListener.bind(Path.of("")))
                .isInstanceOf(ErrnoException.class)
                .hasMessage("bind to an empty path: EINVAL");
    }

    @Test
    void folderThatDoesNotExistIsNamed() {
        Path path = folder.resolve("none").resolve("socket");

        assertThatThrownBy(() -> UnixListener.bind(path))
                .isInstanceOf(ErrnoException.class)
                .hasMessage("bind " + path + ": ENOENT");
    }

    @Test
    void liveListenerIsRefusedAndGoesOnWorking() throws Exception {
        Path path = folder.resolve("live");
        try (UnixListener listener = UnixListener.bind(path)) {
            assertThatThrownBy(() -> UnixListener.bind(path))
                    .isInstanceOf(ErrnoException.class)
                    .hasMessage("bind " + path + ": EADDRINUSE");

            accepted(listener).close(); // the probe
            assertThat(listener.accept()).isNull();
            try (UnixSocket client = UnixSocket.connect(path);
                    UnixSocket server = accepted(listener)) {
                assertThat(client.fd()).isNotEqualTo(server.fd());
            }
        }
    }

    @Test
    void listenerWhoseQueueIsFullIsStillLive() throws Exception {
        Path path = folder.resolve("full");
        List<UnixSocket> clients = new ArrayList<>();
        try (UnixListener listener = UnixListener.bind(path)) {
            assertThatThrownBy(
                            () -> {
                                while (clients.size() < 1000) {
                                    clients.add(UnixSocket.connect(path));
                                }
                            })
                    .isInstanceOf(ErrnoException.class)
                    .hasMessage("connect " + path + ": EAGAIN");

            assertThatThrownBy(() -> UnixListener.bind(path))
                    .isInstanceOf(ErrnoException.class)
                    .hasMessageEndingWith(": EADDRINUSE");
            accepted(listener).close();
        } finally {
            clients.forEach(UnixSocket::close);
        }
    }

    @Test
    void staleSocketFileIsReplaced() throws Exception {
        Path path = folder.resolve("stale");
        leaveStale(path);

        try (UnixListener listener = UnixListener.bind(path);
                UnixSocket client = UnixSocket.connect(path);
                UnixSocket server = accepted(listener)) {
            assertThat(client.fd()).isNotEqualTo(server.fd());
        }
        assertThat(path).doesNotExist();
    }

    @Test
    void ordinaryFileIsNeverReplaced() throws Exception {
        Path path = folder.resolve("file");
        Files.writeString(path, "precious");

        assertThatThrownBy(() -> UnixListener.bind(path))
                .isInstanceOf(ErrnoException.class)
                .hasMessageEndingWith(": EADDRINUSE");

        assertThat(path).hasContent("precious");
    }

    @Test
    void symbolicLinkIsNeverReplaced() throws Exception {
        Path target = folder.resolve("target");
        leaveStale(target);
        Path path = Files.createSymbolicLink(folder.resolve("link"), target);

        assertThatThrownBy(() -> UnixListener.bind(path))
                .isInstanceOf(ErrnoException.class)
                .hasMessageEndingWith(": EADDRINUSE");

        assertThat(path).isSymbolicLink();
        assertThat(Files.exists(target)).isTrue();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 022, 077})
    void onlyTheOwnerMayConnectWhateverTheUmask(int umask) throws Exception {
        Path path = folder.resolve("private");
        int before = umask(umask);
        try (UnixListener listener = UnixListener.bind(path)) {
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(path)))
                    .isEqualTo("rw-------");
            assertThat(listener.accept()).isNull();
        } finally {
            umask(before);
        }
    }

    @Test
    void closingTwiceRemovesTheFileOnceOnly() throws Exception {
        Path path = folder.resolve("twice");
        UnixListener first = UnixListener.bind(path);
        first.close();
        try (UnixListener second = UnixListener.bind(path)) {
            first.close();

            assertThat(Files.exists(path)).isTrue();
            assertThat(second.accept()).isNull();
        }
    }

    @Test
    void closingLeavesAFileThatIsNotItsOwn() throws Exception {
        Path path = folder.resolve("moved");
        UnixListener listener = UnixListener.bind(path);
        Files.move(path, folder.resolve("elsewhere"));
        leaveStale(path);

        listener.close();

        assertThat(Files.exists(path, LinkOption.NOFOLLOW_LINKS)).isTrue();
    }

    @Test
    void closingWorksWhenTheFileIsGone() throws Exception {
        Path path = folder.resolve("gone");
        UnixListener listener = UnixListener.bind(path);
        Files.delete(path);

        listener.close();

        assertThatThrownBy(listener::fd).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(listener::accept).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void acceptedSocketIsNonblockingAndCloseOnExec() throws Exception {
        Path path = folder.resolve("flags");
        try (UnixListener listener = UnixListener.bind(path);
                UnixSocket client = UnixSocket.connect(path);
                UnixSocket server = accepted(listener);
                Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(8);
            assertThat(server.receive(buffer, 0, 8, new ArrayList<>())).isEqualTo(-Errno.EAGAIN);
            assertThat(client.receive(buffer, 0, 8, new ArrayList<>())).isEqualTo(-Errno.EAGAIN);
            assertThat(FdTest.isCloseOnExec(server.fd())).isTrue();
            assertThat(FdTest.isCloseOnExec(client.fd())).isTrue();
            assertThat(FdTest.isCloseOnExec(listener.fd())).isTrue();
        }
    }

    private Path pathOfLength(int length) {
        int left = length - folder.toString().length() - 1;
        return folder.resolve("p".repeat(left));
    }

    /** The JDK's own server socket leaves its file behind. */
    private static void leaveStale(Path path) throws IOException {
        try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            server.bind(UnixDomainSocketAddress.of(path));
        }
        assertThat(Files.exists(path)).isTrue();
    }

    private static UnixSocket accepted(UnixListener listener) throws IOException {
        return Objects.requireNonNull(listener.accept(), "nobody is waiting");
    }

    private static int umask(int mask) {
        MethodHandle umask =
                Linux.linkWithoutErrno("umask", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
        try {
            return (int) umask.invokeExact(mask);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }
}
