// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class EpollTest {
    private Epoll epoll;

    @BeforeEach
    void create() throws Exception {
        epoll = Epoll.create();
    }

    @AfterEach
    void close() {
        FailureInjection.disarm();
        epoll.close();
    }

    @Test
    void memoryCannotBeWaitedFor() throws Exception {
        try (Fd memory = Memfd.create("no-wait", 1)) {
            assertThatThrownBy(() -> epoll.add(memory.number(), Epoll.IN, 1))
                    .isInstanceOf(ErrnoException.class)
                    .hasMessage("epoll_ctl EPOLL_CTL_ADD fd=" + memory.number() + ": EPERM");
        }
    }

    @Test
    void addingTwiceIsRefused() throws Exception {
        try (EventFd event = EventFd.create()) {
            epoll.add(event.fd(), Epoll.IN, 1);

            assertThatThrownBy(() -> epoll.add(event.fd(), Epoll.IN, 2))
                    .isInstanceOf(ErrnoException.class)
                    .hasMessageEndingWith(": EEXIST");
        }
    }

    @Test
    void changingWhatWasNotAddedIsAMistakeOfOurs() throws Exception {
        try (EventFd event = EventFd.create()) {
            assertThatThrownBy(() -> epoll.modify(event.fd(), Epoll.IN, 1))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageEndingWith(": ENOENT");
        }
    }

    @Test
    void removingWhatWasNotAddedDoesNothing() throws Exception {
        try (EventFd event = EventFd.create()) {
            epoll.remove(event.fd());
        }
        epoll.remove(Integer.MAX_VALUE);
        assertThat(epoll.await(0)).isZero();
    }

    @Test
    void closedOneIsRefused() {
        epoll.close();
        epoll.close();

        assertThatThrownBy(() -> epoll.await(0)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> epoll.add(0, Epoll.IN, 1))
                .isInstanceOf(IllegalStateException.class);
    }

    @Test
    void nothingReadyIsZeroAndHasNoEntries() {
        assertThat(epoll.await(0)).isZero();
        assertThat(epoll.await(1)).isZero();
        assertThatThrownBy(() -> epoll.token(0)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> epoll.events(0)).isInstanceOf(IndexOutOfBoundsException.class);
    }

    @Test
    void readyOnesComeWithTheirTokensAndEvents() throws Exception {
        try (EventFd first = EventFd.create();
                EventFd second = EventFd.create();
                EventFd third = EventFd.create()) {
            epoll.add(first.fd(), Epoll.IN, -1);
            epoll.add(second.fd(), Epoll.IN, 0x0123456789abcdefL);
            epoll.add(third.fd(), Epoll.IN, Long.MIN_VALUE);
            first.signal();
            second.signal();

            assertThat(epoll.await(-1)).isEqualTo(2);

            assertThat(List.of(epoll.token(0), epoll.token(1)))
                    .containsExactlyInAnyOrder(-1L, 0x0123456789abcdefL);
            assertThat(epoll.events(0)).isEqualTo(Epoll.IN);
            assertThat(epoll.events(1)).isEqualTo(Epoll.IN);
            assertThatThrownBy(() -> epoll.token(2)).isInstanceOf(IndexOutOfBoundsException.class);
        }
    }

    @Test
    void readinessIsReportedUntilItIsTakenAway() throws Exception {
        try (EventFd event = EventFd.create()) {
            epoll.add(event.fd(), Epoll.IN, 1);
            event.signal();
            assertThat(epoll.await(0)).isEqualTo(1);
            assertThat(epoll.await(0)).isEqualTo(1);

            event.drain();

            assertThat(epoll.await(0)).isZero();
        }
    }

    @Test
    void modifyChangesEventsAndToken() throws Exception {
        try (EventFd event = EventFd.create()) {
            epoll.add(event.fd(), Epoll.IN, 1);
            assertThat(epoll.await(0)).isZero();

            epoll.modify(event.fd(), Epoll.IN | Epoll.OUT, 2);

            assertThat(epoll.await(0)).isEqualTo(1);
            assertThat(epoll.events(0)).isEqualTo(Epoll.OUT);
            assertThat(epoll.token(0)).isEqualTo(2);

            epoll.modify(event.fd(), 0, 2);
            assertThat(epoll.await(0)).isZero();
        }
    }

    @Test
    void removedOneIsNotReported() throws Exception {
        try (EventFd event = EventFd.create()) {
            epoll.add(event.fd(), Epoll.IN, 1);
            event.signal();

            epoll.remove(event.fd());

            assertThat(epoll.await(0)).isZero();
            epoll.add(event.fd(), Epoll.IN, 3);
            assertThat(epoll.await(0)).isEqualTo(1);
            assertThat(epoll.token(0)).isEqualTo(3);
        }
    }

    @Test
    void moreThanABatchComesInSeveral() throws Exception {
        List<EventFd> events = new ArrayList<>();
        Set<Long> seen = new TreeSet<>();
        try {
            for (int i = 0; i < Epoll.BATCH + 10; i++) {
                EventFd event = EventFd.create();
                events.add(event);
                event.signal();
                epoll.add(event.fd(), Epoll.IN, i);
            }
            while (seen.size() < events.size()) {
                int ready = epoll.await(0);
                assertThat(ready).isBetween(1, Epoll.BATCH);
                for (int i = 0; i < ready; i++) {
                    assertThat(seen.add(epoll.token(i))).isTrue();
                    events.get((int) epoll.token(i)).drain();
                }
            }
            assertThat(epoll.await(0)).isZero();
        } finally {
            events.forEach(EventFd::close);
        }
    }

    @Test
    void socketTellsWhenItCanBeReadWrittenAndWhenThePeerIsGone() throws Exception {
        UnixSocket[] pair = UnixSocket.pair();
        UnixSocket left = pair[0];
        try (UnixSocket right = pair[1];
                Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(8);
            epoll.add(right.fd(), Epoll.IN | Epoll.RDHUP, 1);
            assertThat(epoll.await(0)).isZero();

            left.send(buffer, 0, 8, List.of());
            assertThat(epoll.await(-1)).isEqualTo(1);
            assertThat(epoll.events(0)).isEqualTo(Epoll.IN);

            right.receive(buffer, 0, 8, new ArrayList<>());
            epoll.modify(right.fd(), Epoll.OUT, 1);
            assertThat(epoll.await(-1)).isEqualTo(1);
            assertThat(epoll.events(0)).isEqualTo(Epoll.OUT);

            epoll.modify(right.fd(), Epoll.IN | Epoll.RDHUP, 1);
            left.close();
            assertThat(epoll.await(-1)).isEqualTo(1);
            assertThat(epoll.events(0)).isEqualTo(Epoll.IN | Epoll.RDHUP | Epoll.HUP);
        }
    }

    @Test
    void listenerIsReadableWhenSomebodyConnects() throws Exception {
        Path folder = Files.createTempDirectory("ioasis");
        try (UnixListener listener = UnixListener.bind(folder.resolve("epoll"))) {
            epoll.add(listener.fd(), Epoll.IN, 1);
            assertThat(epoll.await(0)).isZero();

            try (UnixSocket client = UnixSocket.connect(listener.path())) {
                assertThat(epoll.await(-1)).isEqualTo(1);
                assertThat(client.fd()).isPositive();
            }
        } finally {
            Files.delete(folder);
        }
    }

    @Test
    void signalOfAnotherThreadWakesAWaitThatHasNoEnd() throws Exception {
        try (EventFd event = EventFd.create()) {
            epoll.add(event.fd(), Epoll.IN, 9);
            Thread other = Thread.ofPlatform().start(event::signal);

            assertThat(epoll.await(-1)).isEqualTo(1);

            assertThat(epoll.token(0)).isEqualTo(9);
            other.join();
        }
    }

    @Test
    void interruptedWaitIsEmpty() throws Exception {
        try (EventFd event = EventFd.create()) {
            epoll.add(event.fd(), Epoll.IN, 9);
            event.signal();
            FailureInjection.arm(1); // epoll_wait fails with EINTR

            assertThat(epoll.await(-1)).isZero();

            assertThat(FailureInjection.disarm()).isTrue();
            assertThat(epoll.await(-1)).isEqualTo(1);
        }
    }
}
