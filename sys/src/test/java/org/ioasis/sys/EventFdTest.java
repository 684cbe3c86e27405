// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class EventFdTest {
    private static final long O_NONBLOCK = 0x800;

    @Test
    void otherKindsOfFileAreRefusedAndStayTheCallers() throws Exception {
        UnixSocket[] pair = UnixSocket.pair();
        try (Fd memory = Memfd.create("not-an-event", 8);
                UnixSocket left = pair[0];
                UnixSocket right = pair[1]) {
            Fd socket = Fd.own(left.fd());

            assertThatThrownBy(() -> EventFd.of(memory))
                    .isInstanceOf(ErrnoException.class)
                    .hasMessage("eventfd from fd=" + memory.number() + ": EINVAL");
            assertThatThrownBy(() -> EventFd.of(socket))
                    .isInstanceOf(ErrnoException.class)
                    .hasMessageEndingWith(": EINVAL");

            assertThat(memory.isOpen()).isTrue();
            assertThat(socket.transfer()).isEqualTo(left.fd());
            assertThat(right.fd()).isPositive();
        }
    }

    @Test
    void drainOfAnUntouchedOneIsZeroAndDoesNotWait() throws Exception {
        try (EventFd event = EventFd.create()) {
            assertThat(event.drain()).isZero();
        }
    }

    @Test
    void drainCountsTheSignalsSinceTheLastOne() throws Exception {
        try (EventFd event = EventFd.create()) {
            event.signal();
            event.signal();
            event.signal();

            assertThat(event.drain()).isEqualTo(3);
            assertThat(event.drain()).isZero();
        }
    }

    @Test
    void fullCounterIsIgnored() throws Exception {
        try (EventFd event = EventFd.create()) {
            writeTo(event.fd(), -2); // the largest value: 2^64 - 2

            event.signal();

            assertThat(event.drain()).isEqualTo(-2);
        }
    }

    @Test
    void takenOverBlockingOneIsMadeNonblocking() throws Exception {
        try (EventFd mine = EventFd.create();
                Fd copy = mine.duplicate()) {
            assertThat(Fd.Fcntl.fcntl(mine.fd(), 4, 0)).isZero(); // F_SETFL
            assertThat(FdTest.flags(mine.fd()) & O_NONBLOCK).isZero();

            try (EventFd taken = EventFd.of(copy)) {
                assertThat(copy.isOpen()).isFalse();
                assertThat(taken.drain()).isZero();
                writeTo(taken.fd(), -2);
                taken.signal();
                assertThat(mine.drain()).isEqualTo(-2);
            }
        }
    }

    @Test
    void bothEndsSeeOneCounter() throws Exception {
        try (EventFd mine = EventFd.create();
                EventFd taken = EventFd.of(mine.duplicate())) {
            taken.signal();
            mine.signal();

            assertThat(mine.drain()).isEqualTo(2);
            assertThat(taken.drain()).isZero();
        }
    }

    @Test
    void signalsOfManyThreadsAreAllCounted() throws Exception {
        try (EventFd event = EventFd.create()) {
            List<Thread> threads = new ArrayList<>();
            for (int t = 0; t < 4; t++) {
                threads.add(
                        Thread.ofPlatform()
                                .start(() -> {
                                    for (int i = 0; i < 5_000; i++) {
                                        event.signal();
                                    }
                                }));
            }
            for (Thread thread : threads) {
                thread.join();
            }

            assertThat(event.drain()).isEqualTo(20_000);
        }
    }

    @Test
    void closedOneDoesNothing() throws Exception {
        EventFd event = EventFd.create();
        event.close();
        try (EventFd other = EventFd.create()) {
            // Mostly with the same number: the lowest that is free is given out next.
            event.signal();
            event.close();

            assertThat(event.drain()).isZero();
            assertThat(other.drain()).isZero();
        }
        assertThatThrownBy(event::fd).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void descriptorIsClosedWhenTheLastCallIsThrough() throws Exception {
        EventFd event = EventFd.create();
        assertThat(event.enter()).isTrue();
        assertThat(event.enter()).isTrue();

        event.close();

        assertThat(event.enter()).isFalse();
        event.leave();
        assertThat(FdTest.targetOf(event.fd())).isEqualTo("anon_inode:[eventfd]");
        event.leave();
        assertThatThrownBy(event::fd).isInstanceOf(IllegalStateException.class);
        event.close();
    }

    @Test
    void closingBesideSignalsNeverReachesTheNextOwnerOfTheNumber() throws Exception {
        for (int round = 0; round < 200; round++) {
            EventFd event = EventFd.create();
            Thread signals =
                    Thread.ofPlatform()
                            .start(() -> {
                                for (int i = 0; i < 500; i++) {
                                    event.signal();
                                }
                            });

            event.close();

            try (EventFd next = EventFd.create()) {
                signals.join();
                assertThat(next.drain()).isZero();
            }
        }
    }

    /** write(2) of a value that {@link EventFd#signal} would need ages for. */
    private static void writeTo(int number, long value) {
        MethodHandle write =
                Linux.linkWithoutErrno(
                        "write", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG));
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = arena.allocateFrom(JAVA_LONG, value);
            assertThat((long) write.invokeExact(number, bytes, 8L)).isEqualTo(8);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }
}
