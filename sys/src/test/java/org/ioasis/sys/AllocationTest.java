// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What a loop does all day leaves nothing to the garbage collector. */
class AllocationTest {
    private static final int ROUNDS = 2_000;
    private static final int ATTEMPTS = 200;

    @Test
    void sendingReceivingSignallingAndWaitingAllocateNothing() throws Exception {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        UnixSocket[] pair = UnixSocket.pair();
        List<Fd> none = new ArrayList<>();
        long least = Long.MAX_VALUE;
        try (UnixSocket left = pair[0];
                UnixSocket right = pair[1];
                EventFd event = EventFd.create();
                Epoll epoll = Epoll.create();
                Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(16);
            epoll.add(right.fd(), Epoll.IN, 1);
            epoll.add(event.fd(), Epoll.IN, 2);
            // Until compiled code runs (and while it is exchanged) a few bytes are normal.
            for (int attempt = 0; attempt < ATTEMPTS && least > 0; attempt++) {
                long before = threads.getCurrentThreadAllocatedBytes();
                for (int i = 0; i < ROUNDS; i++) {
                    round(left, right, event, epoll, buffer, none);
                }
                least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
            }
        }
        // One object in a round would be 32,000 bytes.
        assertThat(least).as("bytes in %d rounds", ROUNDS).isLessThan(ROUNDS);
    }

    private static void round(
            UnixSocket left,
            UnixSocket right,
            EventFd event,
            Epoll epoll,
            MemorySegment buffer,
            List<Fd> none)
            throws ErrnoException {
        event.signal();
        int sent = left.send(buffer, 0, 8, none);
        int ready = epoll.await(0);
        long tokens = epoll.token(0) + epoll.token(1);
        int got = right.receive(buffer, 8, 8, none);
        int nothing = right.receive(buffer, 8, 8, none);
        epoll.modify(event.fd(), Epoll.IN, 2);
        long drained = event.drain();
        if (sent != 8
                || ready != 2
                || tokens != 3
                || got != 8
                || nothing != -Errno.EAGAIN
                || drained != 1) {
            throw new AssertionError();
        }
    }
}
