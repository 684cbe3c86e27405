// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.Closeable;
import java.io.EOFException;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import org.ioasis.spec.VirtioNet;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.SeededDisk;
import org.jspecify.annotations.Nullable;

/**
 * The host's end of a guest's network in a run that is judged: {@link NetHost} behind a socket that
 * carries frames as {@code -netdev stream} does, each behind its length. A thread of its own, from
 * the start to {@link #close}; the two counters are for any thread, the rest for after the end.
 */
final class NetPeer implements Closeable {
    private static final long END_MILLIS = 10_000;
    private static final int FRAME_MAX = VirtioNet.ETHERNET_HEADER + GuestTask.NET_MTU;

    private final ServerSocketChannel listener;
    private final TftpService service;
    private final NetHost host;
    private final Thread thread;
    private volatile @Nullable SocketChannel stream;
    private volatile @Nullable IOException failure;

    /**
     * Listens.
     *
     * @param content what the guest gets
     */
    NetPeer(Path socket, SeededDisk content) throws IOException {
        service = new TftpService(content, GuestTask.NET_BLOCK, System::nanoTime);
        host = new NetHost(service);
        listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        boolean isBound = false;
        try {
            listener.bind(UnixDomainSocketAddress.of(socket));
            isBound = true;
        } finally {
            if (!isBound) {
                listener.close();
            }
        }
        thread = Thread.ofPlatform().name("net-peer").daemon().start(this::serve);
    }

    private void serve() {
        try (SocketChannel accepted = listener.accept()) {
            stream = accepted;
            frames(accepted);
        } catch (EOFException | ClosedChannelException e) {
            // The end: the machine closes its side, or we ours.
        } catch (IOException e) {
            failure = e;
        }
    }

    private void frames(SocketChannel accepted) throws IOException {
        ByteBuffer in = ByteBuffer.allocateDirect(8 * (Integer.BYTES + FRAME_MAX)).limit(0);
        ByteBuffer answer = ByteBuffer.allocateDirect(FRAME_MAX);
        ByteBuffer length = ByteBuffer.allocateDirect(Integer.BYTES);
        ByteBuffer[] out = {length, answer};
        while (true) {
            need(accepted, in, Integer.BYTES);
            int bytes = in.getInt();
            if (bytes < 0 || bytes > FRAME_MAX) {
                throw new IOException("a frame of " + bytes + " bytes");
            }
            need(accepted, in, bytes);
            host.answer(in.slice(in.position(), bytes), answer);
            in.position(in.position() + bytes);
            if (answer.hasRemaining()) {
                length.clear().putInt(answer.remaining()).flip();
                while (answer.hasRemaining()) {
                    long _ = accepted.write(out);
                }
            }
        }
    }

    /** Reads until so many bytes are there. */
    private static void need(SocketChannel from, ByteBuffer in, int bytes) throws IOException {
        if (in.remaining() >= bytes) {
            return;
        }
        in.compact();
        while (in.position() < bytes) {
            if (from.read(in) < 0) {
                throw new EOFException();
            }
        }
        in.flip();
    }

    /** How much the guest has got so far. Any thread. */
    long down() {
        return service.readBytes();
    }

    /** How much the guest has sent so far. Any thread. */
    long up() {
        return service.writtenBytes();
    }

    /** What went over. */
    record Exchanged(
            long downBytes,
            long upBytes,
            boolean isUpWhole,
            String upHash,
            @Nullable String clientError,
            @Nullable IOException failure) {}

    /** Takes what is left after the machine has closed its side, and tells what went over; once. */
    Exchanged end() throws IOException, InterruptedException {
        thread.join(END_MILLIS);
        close();
        thread.join(END_MILLIS);
        if (thread.isAlive()) {
            throw new IOException("the guest's network does not end");
        }
        return new Exchanged(
                service.readBytes(),
                service.writtenBytes(),
                service.isWrittenWhole(),
                service.writtenHash(),
                service.clientError(),
                failure);
    }

    /** Works twice. */
    @Override
    public void close() throws IOException {
        listener.close();
        SocketChannel open = stream;
        if (open != null) {
            open.close();
        }
    }
}
