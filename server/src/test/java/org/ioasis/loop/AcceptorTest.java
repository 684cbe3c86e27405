// SPDX-License-Identifier: Apache-2.0
package org.ioasis.loop;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.UnixListener;
import org.ioasis.sys.UnixSocket;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A listening socket on a loop that is turned by hand. */
class AcceptorTest implements Acceptor.Clients {
    private final AtomicLong clock = new AtomicLong();
    @TempDir private Path folder;
    private EventLoop loop;
    private UnixListener listener;
    private Acceptor acceptor;
    private int outOfDescriptors;
    private int tries;
    private int taken;

    @BeforeEach
    void listen() throws ErrnoException {
        loop = new EventLoop("test", Polled.NOTHING, clock::get, IdlePolicy.EVENT_DRIVEN);
        listener = UnixListener.bind(folder.resolve("s"));
        acceptor = new Acceptor(loop, listener, this::take, this);
        acceptor.listen();
    }

    @AfterEach
    void close() {
        acceptor.close();
        loop.close();
    }

    private @Nullable UnixSocket take() throws ErrnoException {
        tries++;
        if (outOfDescriptors-- > 0) {
            // Any failure will do; this one is easy to have.
            return UnixSocket.connect(folder.resolve("nobody"));
        }
        return listener.accept();
    }

    @Override
    public void arrived() {
        UnixSocket socket = acceptor.next();
        if (socket != null) {
            taken++;
            socket.close();
        }
    }

    @Override
    public void failed(Throwable cause) {
        throw new IllegalStateException(cause);
    }

    private void turn(int times) {
        for (int i = 0; i < times; i++) {
            int _ = loop.turn(0);
        }
    }

    @Test
    void clientThatThereIsNoDescriptorForWaitsAndTheLoopDoesNotSpin() throws ErrnoException {
        outOfDescriptors = 2;
        try (UnixSocket _ = UnixSocket.connect(folder.resolve("s"))) {
            turn(20);
            assertThat(tries).isOne();
            assertThat(acceptor.lastError()).contains("ENOENT");
            clock.addAndGet(Acceptor.RETRY_NANOS);
            turn(20);
            assertThat(tries).isEqualTo(2);

            clock.addAndGet(Acceptor.RETRY_NANOS);
            turn(20);
        }
        assertThat(taken).isOne();
    }

    @Test
    void clientsOfASocketThatIsPausedWaitUntilItIsResumed() throws ErrnoException {
        acceptor.pause();
        try (UnixSocket _ = UnixSocket.connect(folder.resolve("s"))) {
            turn(5);
            assertThat(tries).isZero();

            acceptor.resume();
            turn(5);
        }
        assertThat(taken).isOne();
    }

    @Test
    void closedSocketIsGoneAndTakesNobody() {
        acceptor.close();
        acceptor.close();

        turn(2);
        assertThat(folder.resolve("s")).doesNotExist();
        assertThat(tries).isZero();
    }
}
