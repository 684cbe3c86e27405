// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import org.ioasis.loop.EventHandler;
import org.ioasis.loop.EventLoop;
import org.ioasis.memory.Count;
import org.ioasis.memory.Dma;
import org.ioasis.pci.PciDevice;
import org.ioasis.pci.Regions;
import org.ioasis.pci.VectorSink;
import org.ioasis.peer.Served;
import org.ioasis.peer.SessionBoundary;
import org.ioasis.spec.Pci;
import org.ioasis.spec.VfioUser;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.jspecify.annotations.Nullable;

/**
 * Somebody else's vfio-user device in front of which an IOMMU is put: towards the VMM it is the
 * device, towards the device server it is the VMM. Registers, vectors and reset pass through.
 * Memory does not: the server is given no descriptor of it, but one region that is reached by
 * messages, and these are {@linkplain DmaService translated, checked and done here}. Nor does it
 * get the VMM's eventfds, whose flags it could change.
 *
 * <p>Each session with a VMM has one with the server of its own. One that ends by itself, because
 * the server has gone, does not answer or answers what was not asked, ends the VMM's. The server
 * may come again: the next VMM finds it, if the device is still what it was.
 *
 * <p>Made by any thread; all else on the loop's, but for the counts.
 */
public final class ProxyFunction implements PciDevice, Regions {
    /**
     * Sizes of the region that the server is told of, the largest first: all addresses that there
     * are, but for the last page, since their number is none of 64 bits; and what servers take that
     * have a limit.
     */
    private static final long[] REACHES = {
        -Codec.PAGE_SIZE, 1L << 52, 1L << 48, 1L << 43, 1L << 39
    };

    /** The byte of the register that holds COMMAND.MASTER. */
    private static final int MASTER_BYTE = Pci.COMMAND;

    private final EventLoop loop;
    private final Path server;
    private final Dma dma;
    private final Executor io;
    private final int answerMillis;
    private final DeviceInfo info;
    private final DmaService service;
    private final @Nullable Relay[] relays;
    private final ArrayDeque<Command> early = new ArrayDeque<>();
    private final ArrayDeque<Runnable> unsettled = new ArrayDeque<>();
    private final Count interrupts = new Count();
    private final Count losses = new Count();

    private @Nullable DeviceConnection idle;
    private @Nullable DeviceSession session;
    private @Nullable Served served;
    private @Nullable SessionBoundary boundary;
    private VectorSink sink = VectorSink.NONE;
    private Consumer<String> reports = _ -> {};
    private Runnable whenGuestActs = () -> {};
    private Runnable whenReset = () -> {};

    /** Tells one session's connecting from the next one's. */
    private long generation;

    private boolean isConnecting;

    /** A connection is being made: one at a time, however often VMMs come and go meanwhile. */
    private final AtomicBoolean isOpening = new AtomicBoolean();

    private boolean isMaster;

    /** Commands whose answers {@link #whenSettled} waits for. */
    private int unanswered;

    private long reach;
    private String trouble = "";

    /**
     * Connects, and learns what the device is.
     *
     * @param dma the endpoint's way to memory
     * @param io for connecting again, which waits
     * @param answerMillis how long the server may take for an answer
     * @throws IOException nobody listens there, or it is no device that can be served; the text
     *     says why
     */
    public ProxyFunction(EventLoop loop, Path server, Dma dma, Executor io, int answerMillis)
            throws IOException {
        this.loop = loop;
        this.server = server;
        this.dma = dma;
        this.io = io;
        this.answerMillis = answerMillis;
        DeviceConnection first = DeviceConnection.open(server, answerMillis);
        idle = first;
        info = first.info();
        relays = new Relay[info.vectors()];
        service = new DmaService(dma, () -> isMaster);
    }

    /** Whose sessions these are. Before the loop starts, or on it. */
    public void servedBy(Served owner) {
        served = owner;
        boundary = new SessionBoundary(owner);
    }

    // The session.

    @Override
    public void vectors(VectorSink to) {
        sink = to;
        if (to.equals(VectorSink.NONE)) {
            endSession();
        } else {
            begin();
        }
    }

    private void begin() {
        generation++;
        DeviceConnection ready = idle;
        idle = null;
        if (ready != null && ready.isAlive()) {
            attach(ready);
            return;
        }
        if (ready != null) {
            ready.close();
        }
        isConnecting = true;
        open();
    }

    /** Has a connection made, unless that is under way. */
    private void open() {
        if (!isOpening.compareAndSet(false, true)) {
            return;
        }
        long mine = generation;
        try {
            io.execute(() -> connect(mine));
        } catch (RejectedExecutionException e) {
            isOpening.set(false);
            lost("no more connections are made");
        }
    }

    /** Waits for the server's answers. Any thread but the loop's. */
    private void connect(long mine) {
        DeviceConnection made = null;
        boolean isPosted = false;
        try {
            String failure = "";
            try {
                made = DeviceConnection.open(server, answerMillis);
            } catch (IOException e) {
                failure = String.valueOf(e.getMessage());
            }
            post(mine, made, failure);
            isPosted = true;
        } catch (RejectedExecutionException e) {
            // The loop has ended, and all sessions with it.
        } finally {
            if (!isPosted) {
                isOpening.set(false);
                if (made != null) {
                    made.close();
                }
            }
        }
    }

    private void post(long mine, @Nullable DeviceConnection made, String failure) {
        loop.execute(() -> connected(mine, made, failure));
    }

    private void connected(long mine, @Nullable DeviceConnection made, String failure) {
        isOpening.set(false);
        if (!isConnecting) {
            if (made != null) {
                made.close();
            }
        } else if (made == null && mine != generation) {
            open(); // for the VMM that is here now the server may be there
        } else if (made == null) {
            lost(failure);
        } else if (!made.info().equals(info)) {
            made.close();
            lost("it is not the device that it was: %s, %s".formatted(info, made.info()));
        } else {
            attach(made);
        }
    }

    private void attach(DeviceConnection connection) {
        isConnecting = false;
        SessionBoundary around = boundary;
        if (around == null) {
            throw new IllegalStateException("a session before there is a server");
        }
        try {
            session =
                    new DeviceSession(
                            loop,
                            connection,
                            around,
                            service,
                            TimeUnit.MILLISECONDS.toNanos(answerMillis),
                            this::ended);
        } catch (ErrnoException e) {
            lost(String.valueOf(e.getMessage()));
            return;
        }
        trouble = "";
        tellOfMemory(0);
        for (Command one = early.poll(); one != null; one = early.poll()) {
            submit(one);
        }
        vectorsChanged();
    }

    /** One region without a descriptor, as large as the server takes it. */
    private void tellOfMemory(int attempt) {
        submit(
                Command.map(
                        REACHES[attempt],
                        (errno, _, _) -> {
                            if (errno == 0) {
                                reach = REACHES[attempt];
                            } else if (isThere() && attempt + 1 < REACHES.length) {
                                tellOfMemory(attempt + 1);
                            } else if (isThere()) {
                                lost(
                                        "it takes no memory that is reached by messages (%s): a server that must map"
                                                        .formatted(Errno.name(errno))
                                                + " memory cannot be served");
                            }
                        }));
    }

    /** A refusal is the server's, and not what the end of its session leaves. */
    private boolean isThere() {
        DeviceSession current = session;
        return current != null && !current.hasEnded();
    }

    /** The server has ended its session. */
    private void ended() {
        DeviceSession over = session;
        lost(over == null ? "" : over.reason());
    }

    /** The device is gone for this session's VMM, whose session ends with it. */
    private void lost(String why) {
        losses.increment();
        trouble = why;
        String text = "the device at %s is lost: %s".formatted(server, why);
        reports.accept(text);
        // In a turn of its own: whoever has asked for something is in the middle of it.
        long mine = generation;
        closeSession(why);
        loop.execute(() -> {
            Served owner = served;
            if (mine == generation && owner != null) {
                owner.endSession(text);
            }
        });
    }

    private void endSession() {
        generation++;
        closeSession("the VMM has gone");
        for (int vector = 0; vector < relays.length; vector++) {
            drop(vector);
        }
    }

    private void closeSession(String why) {
        isConnecting = false;
        isMaster = false;
        DeviceSession current = session;
        session = null;
        if (current != null) {
            current.close(why);
        }
        for (Command one = early.poll(); one != null; one = early.poll()) {
            one.fail(Errno.EIO);
        }
        dma.deviceReset();
    }

    private void submit(Command command) {
        DeviceSession current = session;
        if (current != null) {
            current.submit(command);
        } else if (isConnecting) {
            early.add(command);
        } else {
            command.fail(Errno.EIO);
        }
    }

    // Registers.

    @Override
    public Regions regions() {
        return this;
    }

    @Override
    public long size(int region) {
        return region < 0 || region >= info.regionSizes().size()
                ? 0
                : info.regionSizes().get(region);
    }

    private boolean isAccess(int region, long offset, int count) {
        return offset >= 0 && offset <= size(region) - count;
    }

    @Override
    public void read(
            int region, long offset, int count, MemorySegment data, long at, Answer answer) {
        if (!isAccess(region, offset, count)) {
            answer.done(Errno.EINVAL);
            return;
        }
        whenGuestActs.run();
        submit(
                Command.read(
                        region,
                        offset,
                        count,
                        (errno, in, from) -> {
                            if (in != null) {
                                MemorySegment.copy(in, from, data, at, count);
                            }
                            answer.done(errno);
                        }));
    }

    @Override
    public void write(
            int region,
            long offset,
            int count,
            MemorySegment data,
            long at,
            boolean isPosted,
            Answer answer) {
        if (!isAccess(region, offset, count)) {
            answer.done(Errno.EINVAL);
            return;
        }
        if (region == VfioUser.VFIO_PCI_CONFIG_REGION_INDEX
                && offset <= MASTER_BYTE
                && offset + count > MASTER_BYTE) {
            follow(data.get(ValueLayout.JAVA_BYTE, at + (MASTER_BYTE - offset)));
        }
        DeviceSession current = session;
        submit(
                Command.write(
                        region,
                        offset,
                        count,
                        data,
                        at,
                        isPosted && current != null && current.takesPosted(),
                        (errno, _, _) -> answer.done(errno)));
    }

    /** The function reaches memory from the moment on that it is told so, and no longer. */
    private void follow(byte command) {
        boolean isNow = (command & Pci.COMMAND_MASTER) != 0;
        if (isNow && !isMaster) {
            dma.deviceStarted();
        }
        isMaster = isNow;
    }

    // Vectors.

    @Override
    public int vectorCount() {
        return info.vectors();
    }

    /** What the server signals for one vector, passed on to whom the VMM has named. */
    private final class Relay implements EventHandler {
        private final int vector;
        private final EventFd eventFd;
        private final EventLoop.Registration registration;

        Relay(int vector, EventFd eventFd) throws ErrnoException {
            this.vector = vector;
            this.eventFd = eventFd;
            // Each signal is an edge, and the counter is not read: the server has it as well, can
            // make it blocking and read it before us.
            registration = loop.register(eventFd.fd(), Epoll.IN | Epoll.EDGE, this);
        }

        @Override
        public void ready(int events) {
            interrupts.increment();
            boolean _ = sink.trigger(vector);
        }

        @Override
        public void failed(Throwable cause) {
            SessionBoundary around = boundary;
            if (around != null) {
                around.failed(cause);
            }
        }

        void close() {
            registration.cancel();
            eventFd.close();
        }
    }

    @Override
    public void vectorsChanged() {
        if (session == null) {
            return; // told of when it begins
        }
        boolean isTaken = false;
        for (int vector = 0; vector < relays.length && session != null; vector++) {
            boolean isWanted = sink.isSetUp(vector);
            if (isWanted && relays[vector] == null) {
                setUp(vector);
            } else if (!isWanted && relays[vector] != null) {
                drop(vector);
                isTaken = true;
                submit(Command.vector(vector, null, awaited((_, _, _) -> {})));
            }
        }
        if (isTaken && !hasRelays()) {
            submit(Command.noVectors(awaited((_, _, _) -> {})));
        }
    }

    private boolean hasRelays() {
        for (Relay relay : relays) {
            if (relay != null) {
                return true;
            }
        }
        return false;
    }

    private void setUp(int vector) {
        Fd theirs;
        try {
            EventFd eventFd = EventFd.create();
            boolean isWatched = false;
            try {
                relays[vector] = new Relay(vector, eventFd);
                isWatched = true;
            } finally {
                if (!isWatched) {
                    eventFd.close();
                }
            }
            theirs = eventFd.duplicate();
        } catch (ErrnoException e) {
            lost("vector %d: %s".formatted(vector, e.getMessage()));
            return;
        }
        submit(
                Command.vector(
                        vector,
                        theirs,
                        awaited((errno, _, _) -> {
                            if (errno != 0 && isThere()) {
                                lost(
                                        "it refuses vector %d: %s"
                                                .formatted(vector, Errno.name(errno)));
                            }
                        })));
    }

    private void drop(int vector) {
        Relay relay = relays[vector];
        if (relay != null) {
            relay.close();
            relays[vector] = null;
        }
    }

    // Reset.

    @Override
    public void signs(Runnable guestActs, Runnable reset) {
        whenGuestActs = guestActs;
        whenReset = reset;
    }

    @Override
    public void reset() {
        whenReset.run();
        isMaster = false;
        if (session == null && !isConnecting) {
            return;
        }
        if (!info.canReset()) {
            dma.deviceReset();
            return;
        }
        submit(Command.reset(awaited((_, _, _) -> dma.deviceReset())));
    }

    /** The reply to a command that is to be answered before anything counts as settled. */
    private Command.Reply awaited(Command.Reply reply) {
        unanswered++;
        return (errno, in, at) -> {
            unanswered--;
            reply.done(errno, in, at);
            while (unanswered == 0 && !unsettled.isEmpty()) {
                unsettled.remove().run();
            }
        };
    }

    @Override
    public void whenSettled(Runnable task) {
        if (unanswered == 0) {
            task.run();
        } else {
            unsettled.add(task);
        }
    }

    // Turns.

    @Override
    public void memoryChanged() {
        DeviceSession current = session;
        if (current != null) {
            current.memoryChanged();
        }
    }

    @Override
    public boolean needsTick() {
        DeviceSession current = session;
        return current != null && current.needsTick();
    }

    @Override
    public void tick(long nowNanos) {
        DeviceSession current = session;
        if (current != null) {
            current.tick(nowNanos);
        }
    }

    @Override
    public void reports(Consumer<String> to) {
        reports = to;
    }

    // For who shows it.

    @Override
    public boolean isMaster() {
        return isMaster;
    }

    public Path server() {
        return server;
    }

    /** Why the device is not there; empty while it is, or nobody needs it. */
    public String trouble() {
        return trouble;
    }

    public boolean isConnected() {
        return session != null;
    }

    /** Addresses that the server knows to reach, from 0 on; unsigned. */
    public long reach() {
        return reach;
    }

    /** Calls of the system for the messages of this session. */
    public long callCount() {
        DeviceSession current = session;
        return current == null ? 0 : current.callCount();
    }

    /** Any thread. */
    public DmaCounts dmaCounts() {
        return service.counts();
    }

    /** Vectors that the server has raised. Any thread. */
    public long interrupts() {
        return interrupts.read();
    }

    /** How often the device was lost under a VMM. Any thread. */
    public long losses() {
        return losses.read();
    }

    /** Gives a connection back that no session has used. After the last session. Twice is fine. */
    public void close() {
        DeviceConnection unused = idle;
        idle = null;
        if (unused != null) {
            unused.close();
        }
    }
}
