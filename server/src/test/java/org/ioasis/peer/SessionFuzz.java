// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;

/**
 * Messages that are nearly right, for the sessions of any protocol, one after the other: nothing
 * escapes, nothing is kept, and the end is always clean. One thread.
 */
public final class SessionFuzz {
    private static final int TURNS_MAX = 100_000;

    /** Descriptors that go with bytes of a message. */
    public interface Fds {
        /**
         * @param message which the bytes are of
         * @param at where in it they begin
         * @param fds to which duplicates are added
         */
        void send(byte[] message, int at, List<Fd> fds) throws ErrnoException;
    }

    /** Makes a session. */
    public interface Maker {
        PeerSession<?> begin(PeerChannel channel, SessionHost host);
    }

    private final long seed;
    private final Random random;
    private final Guards guards;
    private final GuestMemory memory;
    private long received;
    private int sessions;

    /**
     * @param memory that of all sessions
     * @param guards whose waits end between turns
     */
    public SessionFuzz(long seed, Guards guards, GuestMemory memory) {
        this.seed = seed;
        this.random = new Random(seed);
        this.guards = guards;
        this.memory = memory;
    }

    /** Whence everything random comes. */
    public Random random() {
        return random;
    }

    /** Bytes of replies so far. */
    public long received() {
        return received;
    }

    /** Once in {@code rarity} times something is wrong with the message, which is never empty. */
    public static byte[] mutate(Random random, int rarity, byte[] message) {
        if (random.nextInt(rarity) != 0) {
            return message;
        }
        byte[] mutant = message.clone();
        switch (random.nextInt(4)) {
            case 0 -> mutant[random.nextInt(mutant.length)] ^= (byte) (1 << random.nextInt(8));
            case 1 -> mutant[random.nextInt(mutant.length)] = (byte) random.nextInt();
            case 2 -> mutant = Arrays.copyOf(mutant, 1 + random.nextInt(mutant.length + 8));
            default -> random.nextBytes(mutant);
        }
        return mutant;
    }

    /**
     * One session, until it ends by itself.
     *
     * @param script whole messages, or what stands for them; none is empty
     * @param eachTurn runs after each
     * @return why it has ended
     */
    public String run(List<byte[]> script, Fds fds, Maker maker, Runnable eachTurn) {
        Host host = new Host();
        Channel channel = new Channel(script, fds);
        PeerSession<?> session = maker.begin(channel, host);
        for (int turns = 0; !session.hasEnded(); turns++) {
            if (turns > TURNS_MAX) {
                fail(
                        "session %d of seed %d hangs after %d messages",
                        sessions, seed, session.messageCount());
            }
            session.ready(Epoll.IN | (random.nextBoolean() ? Epoll.OUT : 0));
            eachTurn.run();
            guards.poll();
        }
        assertThat(session.reason()).as("seed %d", seed).isNotEmpty();
        assertThat(channel.isClosed).as("seed %d", seed).isTrue();
        assertThat(host.released).as("seed %d", seed).isEqualTo(1);
        assertThat(memory.regionCount()).as("seed %d", seed).isZero();
        received += channel.received;
        sessions++;
        return session.reason();
    }

    private static final class Host implements SessionHost {
        private int released;

        @Override
        public void limitReached(String why) {}

        @Override
        public void interestChanged() {}

        @Override
        public void released() {
            released++;
        }
    }

    /** Gives a session the bytes of one script, in pieces of random size, and takes its replies. */
    private final class Channel implements PeerChannel {
        private final List<byte[]> script;
        private final Fds offered;
        private int message;
        private int at;
        private boolean isClosed;
        private long received;

        Channel(List<byte[]> script, Fds offered) {
            this.script = script;
            this.offered = offered;
        }

        @Override
        public int receive(MemorySegment buffer, long offset, int length, List<Fd> fds)
                throws ErrnoException {
            if (random.nextInt(8) == 0) {
                return -Errno.EAGAIN;
            }
            if (message == script.size()) {
                return 0;
            }
            byte[] bytes = script.get(message);
            offered.send(bytes, at, fds);
            int n = Math.min(1 + random.nextInt(length), bytes.length - at);
            MemorySegment.copy(bytes, at, buffer, ValueLayout.JAVA_BYTE, offset, n);
            at += n;
            if (at == bytes.length) {
                message++;
                at = 0;
            }
            return n;
        }

        @Override
        public int send(MemorySegment buffer, long offset, int length, List<Fd> fds) {
            if (random.nextInt(8) == 0) {
                return -Errno.EAGAIN;
            }
            int n = 1 + random.nextInt(length);
            received += n;
            return n;
        }

        @Override
        public int unread() {
            return random.nextInt(2);
        }

        @Override
        public void close() {
            isClosed = true;
        }

        @Override
        public void closeUnread(int descriptors) {
            assertThat(descriptors).isPositive();
            isClosed = true;
        }
    }
}
