// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class UnixSocketTest {
    private final Arena arena = Arena.ofConfined();
    private final MemorySegment buffer = arena.allocate(1 << 20, 8);
    private final List<Fd> received = new ArrayList<>();
    private UnixSocket left;
    private UnixSocket right;

    @BeforeEach
    void connect() throws Exception {
        UnixSocket[] pair = UnixSocket.pair();
        left = pair[0];
        right = pair[1];
    }

    @AfterEach
    void closeAll() {
        received.forEach(Fd::close);
        left.close();
        right.close();
        arena.close();
    }

    @Test
    void peerIsTheProcessThatHasConnected() throws Exception {
        UnixSocket[] pair = UnixSocket.pair();
        try (UnixSocket one = pair[0];
                UnixSocket other = pair[1]) {
            String us = "process %d (java)".formatted(ProcessHandle.current().pid());
            assertThat(one.peer()).isEqualTo(us);
            assertThat(other.peer()).isEqualTo(us);
        }
        assertThat(ProcessName.of(1L << 40)).isEqualTo("process 1099511627776");
    }

    @Test
    void whatIsSentIsUnreadUntilAllOfItIsReceived() throws Exception {
        assertThat(left.unread()).isZero();
        for (int i = 0; i < 2; i++) {
            assertThat(left.send(buffer, 0, 100, List.of())).isEqualTo(100);
            assertThat(left.send(buffer, 0, 100, List.of())).isEqualTo(100);
            assertThat(left.unread()).isPositive();
            assertThat(right.unread()).as("the other way").isZero();
            assertThat(right.receive(buffer, 0, 150, received)).isEqualTo(150);
            assertThat(left.unread()).isPositive();
            assertThat(right.receive(buffer, 0, 150, received)).isEqualTo(50);
            assertThat(left.unread()).isZero();
        }
        left.close();
        assertThatThrownBy(() -> left.unread()).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void whatWasSentBeforeAShutdownIsUnreadUntilItIsReceivedOrThePeerCloses() throws Exception {
        assertThat(left.send(buffer, 0, 100, List.of())).isEqualTo(100);
        left.shutdown();
        assertThat(left.unread()).isPositive();
        assertThatThrownBy(() -> right.send(buffer, 0, 1, List.of()))
                .isInstanceOf(ErrnoException.class);
        assertThat(right.receive(buffer, 0, 50, received)).isEqualTo(50);
        assertThat(left.unread()).isPositive();
        right.close();
        assertThat(left.unread()).isZero();
    }

    /** It has chosen its name itself, and messages are lines on somebody's terminal. */
    @Test
    void whatIsNotPrintableInTheNameOfAProcessIsNotPrinted() throws Exception {
        Path name = Path.of("/proc/self/comm");
        String before = Files.readString(name).strip();
        long pid = ProcessHandle.current().pid();
        try {
            Files.writeString(name, "a\nb\033[2J\u009bK\u2028é");

            assertThat(ProcessName.of(pid)).isEqualTo("process %d (a?b?[2J?K?é)".formatted(pid));
        } finally {
            Files.writeString(name, before);
        }
    }

    @Test
    void nothingThereIsEagain() throws Exception {
        assertThat(right.receive(buffer, 0, 8, received)).isEqualTo(-Errno.EAGAIN);
        assertThat(received).isEmpty();
    }

    @Test
    void closedPeerIsZeroAfterTheLastByte() throws Exception {
        left.send(buffer, 0, 3, List.of());
        left.close();

        assertThat(right.receive(buffer, 0, 8, received)).isEqualTo(3);
        assertThat(right.receive(buffer, 0, 8, received)).isZero();
        assertThat(right.receive(buffer, 0, 8, received)).isZero();
    }

    @Test
    void sendingToAClosedPeerIsEpipeAndNoSignal() {
        right.close();

        assertThatThrownBy(() -> left.send(buffer, 0, 8, List.of()))
                .isInstanceOf(ErrnoException.class)
                .hasMessage("sendmsg fd=" + left.fd() + " length=8: EPIPE");
    }

    @Test
    void peerThatClosesUnreadBytesIsEconnreset() throws Exception {
        left.send(buffer, 0, 8, List.of());
        right.close();

        assertThatThrownBy(() -> left.receive(buffer, 0, 8, received))
                .isInstanceOf(ErrnoException.class)
                .hasMessageEndingWith(": ECONNRESET");
    }

    @Test
    void rangeOutsideTheBufferIsRefused() {
        MemorySegment small = arena.allocate(8);
        assertThatThrownBy(() -> left.send(small, 4, 5, List.of()))
                .isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> left.receive(small, 0, 9, received))
                .isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> left.receive(small, -1, 1, received))
                .isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> left.receive(small, 0, -1, received))
                .isInstanceOf(IndexOutOfBoundsException.class);
    }

    @Test
    void lengthZeroIsRefused() {
        assertThatThrownBy(() -> left.receive(buffer, 0, 0, received))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> left.send(buffer, 0, 0, List.of()))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void receivingIntoReadOnlyOrHeapMemoryIsRefused() throws Exception {
        left.send(buffer, 0, 8, List.of());

        assertThatThrownBy(() -> right.receive(buffer.asReadOnly(), 0, 8, received))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> right.receive(MemorySegment.ofArray(new byte[8]), 0, 8, received))
                .isInstanceOf(IllegalArgumentException.class);

        assertThat(right.receive(buffer, 0, 8, received)).isEqualTo(8);
    }

    @Test
    void bufferWhoseArenaIsClosedIsRefusedAndNothingIsLost() throws Exception {
        left.send(buffer, 0, 8, List.of());
        Arena closed = Arena.ofShared();
        MemorySegment gone = closed.allocate(8);
        closed.close();

        assertThatThrownBy(() -> right.receive(gone, 0, 8, received))
                .isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> left.send(gone, 0, 8, List.of()))
                .isInstanceOf(IllegalStateException.class);

        assertThat(right.receive(buffer, 0, 100, received)).isEqualTo(8);
    }

    @Test
    void closedSocketIsRefused() {
        left.close();
        left.close();

        assertThatThrownBy(left::fd).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> left.receive(buffer, 0, 8, received))
                .isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> left.send(buffer, 0, 8, List.of()))
                .isInstanceOf(IllegalStateException.class);
    }

    @Test
    void bytesArriveAtTheirOffsetAndNowhereElse() throws Exception {
        buffer.setString(5, "ioasis");

        assertThat(left.send(buffer, 5, 6, List.of())).isEqualTo(6);

        buffer.fill((byte) 'x');
        assertThat(right.receive(buffer, 100, 6, received)).isEqualTo(6);
        buffer.set(JAVA_BYTE, 107, (byte) 0);
        assertThat(buffer.getString(99)).isEqualTo("xioasisx");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 3, 15, 16})
    void descriptorsArriveInOrderAndCloseOnExec(int count) throws Exception {
        List<Fd> sent = memories(count);

        assertThat(left.send(buffer, 0, 4, sent)).isEqualTo(4);
        assertThat(right.receive(buffer, 0, 8, received)).isEqualTo(4);

        assertThat(received).hasSize(count);
        for (int i = 0; i < count; i++) {
            assertThat(received.get(i).size()).isEqualTo(i + 1);
            assertThat(received.get(i).number()).isNotEqualTo(sent.get(i).number());
            assertThat(FdTest.isCloseOnExec(received.get(i).number())).isTrue();
            assertThat(sent.get(i).isOpen()).isTrue();
        }
        sent.forEach(Fd::close);
    }

    @ParameterizedTest
    @ValueSource(ints = {17, 18, 253})
    void tooManyDescriptorsAreClosedAndRefused(int count) throws Exception {
        try (Fd memory = Memfd.create("surplus", 1)) {
            OpenResources before = OpenResources.now();
            left.send(buffer, 0, 4, Collections.nCopies(count, memory));

            assertThatThrownBy(() -> right.receive(buffer, 0, 8, received))
                    .isInstanceOf(ErrnoException.class)
                    .hasMessageEndingWith(": EPROTO");

            assertThat(received).isEmpty();
            assertThat(OpenResources.now().openedSince(before)).isEmpty();
        }
    }

    @Test
    void socketStillWorksAfterARefusal() throws Exception {
        try (Fd memory = Memfd.create("after", 9)) {
            left.send(buffer, 0, 4, Collections.nCopies(17, memory));
            left.send(buffer, 0, 5, List.of(memory));
            assertThatThrownBy(() -> right.receive(buffer, 0, 8, received))
                    .isInstanceOf(ErrnoException.class);

            assertThat(right.receive(buffer, 0, 8, received)).isEqualTo(5);

            assertThat(received).hasSize(1);
            assertThat(received.getFirst().size()).isEqualTo(9);
        }
    }

    @Test
    void moreDescriptorsThanLinuxTakesAreRefusedAtTheSender() throws Exception {
        try (Fd memory = Memfd.create("flood", 1)) {
            assertThatThrownBy(() -> left.send(buffer, 0, 4, Collections.nCopies(254, memory)))
                    .isInstanceOf(ErrnoException.class)
                    .hasMessageEndingWith(" fds=254: EINVAL");
        }
        assertThat(right.receive(buffer, 0, 8, received)).isEqualTo(-Errno.EAGAIN);
    }

    @Test
    void closedDescriptorIsNotSent() throws Exception {
        Fd closed = Memfd.create("not-sent", 1);
        closed.close();

        assertThatThrownBy(() -> left.send(buffer, 0, 4, List.of(closed)))
                .isInstanceOf(IllegalStateException.class);

        assertThat(right.receive(buffer, 0, 8, received)).isEqualTo(-Errno.EAGAIN);
    }

    @Test
    void descriptorsForAListThatTakesNoneAreClosed() throws Exception {
        try (Fd memory = Memfd.create("unwanted", 1)) {
            OpenResources before = OpenResources.now();
            left.send(buffer, 0, 4, List.of(memory, memory));

            assertThatThrownBy(() -> right.receive(buffer, 0, 8, List.of()))
                    .isInstanceOf(UnsupportedOperationException.class);

            assertThat(OpenResources.now().openedSince(before)).isEmpty();
        }
    }

    @Test
    void descriptorsAreAddedBehindThoseThatAreThere() throws Exception {
        try (Fd memory = Memfd.create("behind", 2)) {
            left.send(buffer, 0, 1, List.of(memory));
            right.receive(buffer, 0, 1, received);
            left.send(buffer, 0, 1, List.of(memory));
            right.receive(buffer, 0, 1, received);

            assertThat(received).hasSize(2);
            assertThat(received.get(1).size()).isEqualTo(2);
        }
    }

    @Test
    void messagesWithoutDescriptorsCarryNoneFromTheLastOne() throws Exception {
        try (Fd memory = Memfd.create("last", 1)) {
            left.send(buffer, 0, 1, List.of(memory));
            left.send(buffer, 0, 1, List.of());
            right.receive(buffer, 0, 1, received);
            assertThat(received).hasSize(1);

            assertThat(right.receive(buffer, 0, 1, received)).isEqualTo(1);

            assertThat(received).hasSize(1);
        }
    }

    @Test
    void fullSocketTakesAPartAndThenNothingAndLosesNothing() throws Exception {
        long seed = System.nanoTime();
        System.out.println("seed " + seed);
        byte[] data = new byte[1 << 20];
        new Random(seed).nextBytes(data);
        MemorySegment.copy(data, 0, buffer, JAVA_BYTE, 0, data.length);
        MemorySegment target = arena.allocate(data.length);

        try (Fd memory = Memfd.create("first-byte", 6)) {
            int sent = left.send(buffer, 0, data.length, List.of(memory));
            assertThat(sent).isBetween(1, data.length - 1);
            assertThat(left.send(buffer, sent, data.length - sent, List.of()))
                    .isEqualTo(-Errno.EAGAIN);
            // A descriptor that could not go with a byte has not gone at all.
            assertThat(left.send(buffer, sent, data.length - sent, List.of(memory)))
                    .isEqualTo(-Errno.EAGAIN);

            int got = 0;
            while (got < data.length) {
                int n = right.receive(target, got, Math.min(10_000, data.length - got), received);
                assertThat(n).isPositive();
                assertThat(received).hasSize(1);
                got += n;
                if (sent < data.length) {
                    sent += Math.max(0, left.send(buffer, sent, data.length - sent, List.of()));
                }
            }
        }
        assertThat(target.mismatch(buffer)).isEqualTo(-1);
    }

    @Test
    void memoryThatThePeerCutShortIsEfaultInACall() throws Exception {
        try (Fd memory = Memfd.create("cut-buffer", 4096);
                Mapping mapping = Mapping.map(memory, 0, 4096, true)) {
            Memfd.resize(memory, 0);

            assertThatThrownBy(() -> left.send(mapping.segment(), 0, 8, List.of()))
                    .isInstanceOf(ErrnoException.class)
                    .hasMessageEndingWith(": EFAULT");
        }
    }

    @Test
    void connectingToNobodyNamesThePath() {
        assertThatThrownBy(() -> UnixSocket.connect(Path.of("/nowhere/at/all")))
                .isInstanceOf(ErrnoException.class)
                .hasMessage("connect /nowhere/at/all: ENOENT");
    }

    /** Memories of 1, 2, 3… bytes. */
    private static List<Fd> memories(int count) throws ErrnoException {
        List<Fd> memories = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            memories.add(Memfd.create("memory", i + 1));
        }
        return memories;
    }
}
