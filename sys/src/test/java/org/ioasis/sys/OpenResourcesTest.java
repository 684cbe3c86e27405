// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Nothing stays open: after good sessions, after refusals, and whichever call the host refuses. */
class OpenResourcesTest {
    @TempDir Path folder;

    @AfterEach
    void letCallsThrough() {
        FailureInjection.disarm();
    }

    @Test
    void snapshotSeesEachKindOfResource() throws Exception {
        OpenResources before = OpenResources.now();

        try (Fd memory = Memfd.create("seen", 4096);
                Mapping mapping = Mapping.map(memory, 0, 4096, true);
                EventFd event = EventFd.create();
                Epoll epoll = Epoll.create();
                UnixListener listener = UnixListener.bind(folder.resolve("seen"))) {
            assertThat(mapping.isOpen()).isTrue();

            assertThat(OpenResources.now().openedSince(before))
                    .hasSize(5)
                    .anyMatch(name -> name.startsWith("mapping ") && name.contains("seen"))
                    .anyMatch(
                            name -> name.equals("fd " + memory.number() + " /memfd:seen (deleted)"))
                    .anyMatch(name -> name.equals("fd " + event.fd() + " anon_inode:[eventfd]"))
                    .anyMatch(name -> name.endsWith(" anon_inode:[eventpoll]"))
                    .anyMatch(name -> name.startsWith("fd " + listener.fd() + " socket:"));
            epoll.remove(event.fd());
        }
    }

    @Test
    void workoutLeavesNothingOpen() throws Exception {
        workout(folder.resolve("warm-up"));
        OpenResources before = OpenResources.now();

        for (int i = 0; i < 20; i++) {
            workout(folder.resolve("socket" + i));
            refusals(folder.resolve("refused" + i));
        }

        assertThat(OpenResources.now().openedSince(before)).isEmpty();
        assertThat(folder).isEmptyDirectory();
    }

    @Test
    void whicheverCallFailsNothingStaysOpen() throws Exception {
        workout(folder.resolve("warm-up"));
        Set<String> failed = new TreeSet<>();
        int n = 0;
        boolean hasFailed = true;

        while (hasFailed) {
            n++;
            OpenResources before = OpenResources.now();
            FailureInjection.arm(n);
            try {
                workout(folder.resolve("socket" + n));
            } catch (ErrnoException e) {
                failed.add(e.call());
            } finally {
                hasFailed = FailureInjection.disarm();
            }
            assertThat(OpenResources.now().openedSince(before)).as("call %d fails", n).isEmpty();
        }

        assertThat(failed)
                .containsExactly(
                        "accept4",
                        "bind",
                        "connect",
                        "epoll_create1",
                        "epoll_ctl",
                        "eventfd",
                        "fchmod",
                        "fcntl",
                        "fstatfs",
                        "ftruncate",
                        "listen",
                        "memfd_create",
                        "mmap",
                        "recvmsg",
                        "sendmsg",
                        "socket",
                        "socketpair",
                        "statx");
    }

    /**
     * A client hands memory and an eventfd to a server, which maps the one and signals the other.
     */
    private static void workout(Path path) throws IOException {
        for (UnixSocket end : UnixSocket.pair()) {
            end.close();
        }
        try (UnixListener listener = UnixListener.bind(path);
                Epoll epoll = Epoll.create();
                UnixSocket client = UnixSocket.connect(path);
                Fd memory = Memfd.create("workout", 8192);
                EventFd event = EventFd.create();
                Fd eventCopy = event.duplicate();
                Mapping local = Mapping.map(memory, 0, 8192, true)) {
            epoll.add(listener.fd(), Epoll.IN, 1);
            waitFor(epoll);
            try (UnixSocket server = accepted(listener)) {
                epoll.add(server.fd(), Epoll.IN, 2);
                client.send(local.segment(), 0, 8, List.of(memory, eventCopy));
                waitFor(epoll);
                serve(server);
                epoll.remove(server.fd());
            }
            epoll.add(event.fd(), Epoll.IN, 3);
            waitFor(epoll);
            assertThat(event.drain()).isEqualTo(1);
        }
    }

    private static void serve(UnixSocket server) throws IOException {
        List<Fd> fds = new ArrayList<>();
        try (Arena arena = Arena.ofConfined()) {
            assertThat(server.receive(arena.allocate(8), 0, 8, fds)).isEqualTo(8);
            assertThat(fds).hasSize(2);
            try (EventFd event = EventFd.of(fds.get(1));
                    Mapping mapping = Mapping.map(fds.get(0), 4096, 4096, false)) {
                try (Arena lease = Arena.ofShared()) {
                    assertThat(mapping.lend(8, 8, lease).get(JAVA_BYTE, 0)).isZero();
                }
                event.signal();
            }
        } finally {
            fds.forEach(Fd::close);
        }
    }

    /** Every kind of refusal that the host or this module comes up with. */
    private static void refusals(Path path) throws IOException {
        assertThatThrownBy(() -> UnixSocket.connect(path)).isInstanceOf(ErrnoException.class);
        assertThatThrownBy(() -> Memfd.create("refused", -1)).isInstanceOf(ErrnoException.class);
        UnixSocket[] pair = UnixSocket.pair();
        try (UnixListener listener = UnixListener.bind(path);
                Fd memory = Memfd.create("refused", 4096);
                Epoll epoll = Epoll.create();
                UnixSocket left = pair[0];
                UnixSocket right = pair[1];
                Arena arena = Arena.ofConfined()) {
            assertThatThrownBy(() -> UnixListener.bind(path)).isInstanceOf(ErrnoException.class);
            assertThatThrownBy(() -> EventFd.of(memory)).isInstanceOf(ErrnoException.class);
            assertThatThrownBy(() -> Mapping.map(memory, 1, 4095, true))
                    .isInstanceOf(ErrnoException.class);
            assertThatThrownBy(() -> Mapping.map(memory, 0, 4097, true))
                    .isInstanceOf(ErrnoException.class);
            assertThatThrownBy(() -> epoll.add(listener.fd() + 1000, Epoll.IN, 1))
                    .isInstanceOf(ErrnoException.class);
            MemorySegment buffer = arena.allocate(8);
            left.send(buffer, 0, 1, Collections.nCopies(UnixSocket.RECEIVE_FDS + 1, memory));
            assertThatThrownBy(() -> right.receive(buffer, 0, 8, new ArrayList<>()))
                    .isInstanceOf(ErrnoException.class);
            left.send(buffer, 0, 1, Collections.nCopies(3, memory));
            assertThatThrownBy(() -> right.receive(buffer, 0, 8, List.of()))
                    .isInstanceOf(UnsupportedOperationException.class);
            // Descriptors that nobody received: the kernel closes them with the socket.
            left.send(buffer, 0, 1, List.of(memory));
        }
    }

    private static UnixSocket accepted(UnixListener listener) throws IOException {
        UnixSocket socket = listener.accept();
        assertThat(socket).isNotNull();
        return Objects.requireNonNull(socket);
    }

    private static void waitFor(Epoll epoll) {
        int ready = 0;
        while (ready == 0) {
            ready = epoll.await(-1);
        }
    }
}
