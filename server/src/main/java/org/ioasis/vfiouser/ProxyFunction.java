// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.ioasis.iommu.DomainListener;
import org.ioasis.loop.EventLoop;
import org.ioasis.memory.Count;
import org.ioasis.memory.Dma;
import org.ioasis.memory.MemoryListener;
import org.ioasis.pci.Doorbell;
import org.ioasis.pci.Migration;
import org.ioasis.pci.PciDevice;
import org.ioasis.pci.Regions;
import org.ioasis.pci.VectorSink;
import org.ioasis.peer.Served;
import org.ioasis.peer.SessionBoundary;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.jspecify.annotations.Nullable;

/**
 * Somebody else's vfio-user device in front of which an IOMMU is put: towards the VMM it is the
 * device, towards the device server it is the VMM. Registers, vectors and reset pass through.
 * Memory does not, unless the server {@linkplain PassedMemory is trusted with it}: it is given no
 * descriptor, but one region that is reached by messages, and these are {@linkplain DmaService
 * translated, checked and done here}.
 *
 * <p>Each session with a VMM has one with the server of its own. One that ends by itself, because
 * the server has gone, does not answer or answers what was not asked, ends the VMM's; or that waits
 * for the server to come again, which then is told all that its device has to know, but for what
 * the driver has set up in its registers: that it has been reset is for the driver to find out. In
 * any case the next VMM finds it, if the device is still what it was.
 *
 * <p>Made by any thread; all else on the loop's, but for the counts.
 */
public final class ProxyFunction implements PciDevice {
    /** How often in a row the server may come again and go before it has done anything. */
    static final int FRUITLESS_MAX = 16;

    private final EventLoop loop;
    private final Path server;
    private final Dma dma;
    private final ProxySettings settings;
    private final DeviceInfo info;
    private final DmaService service;
    private final DeviceDialer dialer;
    private final ProxyRegisters registers;
    private final ProxyInterrupts interrupts;
    private final List<ToldDoorbell> bells;
    private final @Nullable ProxyMigration migration;
    private final @Nullable PassedMemory passed;
    private final ArrayDeque<Command> early = new ArrayDeque<>();
    private final Effects effects = new Effects();
    private final Count losses = new Count();
    private final Count returns = new Count();

    private @Nullable DeviceConnection idle;
    private @Nullable DeviceSession session;
    private @Nullable Served served;
    private @Nullable SessionBoundary boundary;
    private Consumer<String> reports = _ -> {};
    private Runnable whenReset = () -> {};

    /** Tells one VMM's session from the next one's. */
    private long generation;

    /** The server has gone in this session, and is waited for. */
    private boolean isAway;

    /** Returns since the server has last done something. */
    private int fruitless;

    private final int dataMax;
    private final ToldReach reach;
    private String trouble = "";

    /**
     * Connects, and learns what the device is.
     *
     * @param dma the endpoint's way to memory
     * @param io for connecting again, which waits, and as long as the server likes
     * @throws IOException nobody listens there, or it is no device that can be served; the text
     *     says why
     */
    public ProxyFunction(EventLoop loop, Path server, Dma dma, Executor io, ProxySettings settings)
            throws IOException {
        this.loop = loop;
        this.server = server;
        this.dma = dma;
        this.settings = settings;
        DeviceConnection first = DeviceConnection.open(server, settings.answerMillis());
        idle = first;
        info = first.info();
        dataMax = first.limits().dataMax();
        reach = new ToldReach(this::submit, this::isThere, this::lost);
        dialer = new DeviceDialer(loop, server, settings, io, new Connections());
        registers = new ProxyRegisters(info, dataMax, dma, new RegisterServer());
        interrupts = new ProxyInterrupts(loop, info, new VectorServer(), effects);
        // One that takes less at a time than we say we do could not be given what a VMM sends.
        migration =
                info.migrationFlags() == 0 || dataMax < Codec.DATA_MAX
                        ? null
                        : new ProxyMigration(info.migrationFlags(), this::submit);
        bells =
                info.doorbells().stream()
                        .map(doorbell -> new ToldDoorbell(doorbell, registers, this::isThere))
                        .toList();
        service = new DmaService(dma, registers::isMaster);
        passed =
                settings.isolation() == Isolation.MAPPED
                        ? new PassedMemory(this::submitNow, this::isThere, this::lost)
                        : null;
    }

    /** Who hears of the endpoint's domain, if memory is passed on. */
    public @Nullable DomainListener domainListener() {
        return passed;
    }

    /** Who hears of the VMM's memory, if that is passed on. */
    public @Nullable MemoryListener memoryListener() {
        return passed;
    }

    @Override
    public boolean passesMemoryOn() {
        return passed != null;
    }

    /** Whose sessions these are. Before the loop starts, or on it. */
    public void servedBy(Served owner) {
        served = owner;
        boundary = new SessionBoundary(owner);
    }

    // The session.

    @Override
    public void vectors(VectorSink to) {
        interrupts.vectors().sink(to);
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
        dialer.dial(false);
    }

    private final class Connections implements DeviceDialer.Caller {
        @Override
        public void connected(DeviceConnection made) {
            if (!made.info().equals(info) || made.limits().dataMax() < dataMax) {
                made.close();
                lost("it is not the device that it was: %s, %s".formatted(info, made.info()));
                return;
            }
            if (isAway) {
                isAway = false;
                returns.increment();
                fruitless++;
                reports.accept("the device at %s is back".formatted(server));
            }
            attach(made);
        }

        @Override
        public void failed(String why) {
            lost(why);
        }
    }

    private void attach(DeviceConnection connection) {
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
                            TimeUnit.MILLISECONDS.toNanos(settings.answerMillis()),
                            this::ended);
        } catch (ErrnoException e) {
            lost(String.valueOf(e.getMessage()));
            return;
        }
        trouble = "";
        PassedMemory memory = passed;
        if (memory == null) {
            reach.tell();
        } else {
            memory.connected(connection.limits().mapsMax());
        }
        registers.restore();
        interrupts.changed();
        List<Command> waiting = List.copyOf(early);
        early.clear();
        waiting.forEach(this::submit);
    }

    /** A refusal is the server's, and not what the end of its session leaves. */
    private boolean isThere() {
        DeviceSession current = session;
        return current != null && !current.hasEnded();
    }

    /** The server has ended its session, and perhaps not for ever. */
    private void ended(List<Command> unanswered) {
        DeviceSession over = session;
        String why = over == null ? "" : over.reason();
        String hopeless = hopeless();
        if (settings.reconnectMillis() == 0 || !hopeless.isEmpty()) {
            lost(why + hopeless);
            unanswered.forEach(command -> command.fail(Errno.EIO));
            return;
        }
        losses.increment();
        reports.accept(
                "the device at %s is lost: %s; for %d ms it may come again"
                        .formatted(server, why, settings.reconnectMillis()));
        forget();
        registers.restarts();
        isAway = true;
        dialer.dial(true);
        List<Command> lost = new ArrayList<>();
        for (Command one : unanswered) {
            (one.mayBeAskedAgain() ? early : lost).add(one);
        }
        lost.forEach(command -> command.fail(Errno.EIO));
    }

    /** Why it would be of no use to wait for the server; empty if it might be of some. */
    private String hopeless() {
        ProxyMigration moving = migration;
        if (moving != null && !moving.isRunning()) {
            return "; that was in the middle of a move, of which it would know nothing";
        }
        return fruitless < FRUITLESS_MAX
                ? ""
                : "; it has come again %d times and gone before it had done anything"
                        .formatted(fruitless);
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
        fruitless = 0;
        closeSession("the VMM has gone");
        registers.reset();
    }

    private void closeSession(String why) {
        dialer.giveUp();
        isAway = false;
        DeviceSession current = session;
        session = null;
        if (current != null) {
            current.close(why);
        }
        for (Command one = early.poll(); one != null; one = early.poll()) {
            one.fail(Errno.EIO);
        }
        forget();
        registers.gone();
        runsAgain();
    }

    /** The device runs, whatever it was told of a move. */
    private void runsAgain() {
        ProxyMigration moving = migration;
        if (moving != null) {
            moving.restarts();
        }
    }

    /** The server has nothing of ours any more. */
    private void forget() {
        session = null;
        PassedMemory memory = passed;
        if (memory != null) {
            memory.disconnected();
        }
        interrupts.dropAll();
    }

    /** For the server that is there, or that is on its way. */
    private void submit(Command command) {
        if (session == null && dialer.isDialing()) {
            early.add(command);
        } else {
            submitNow(command);
        }
    }

    /** For the server that is there. */
    private void submitNow(Command command) {
        DeviceSession current = session;
        if (current == null) {
            command.fail(Errno.EIO);
        } else {
            current.submit(command);
        }
    }

    // Registers.

    @Override
    public Regions regions() {
        return registers;
    }

    /** Where accesses to registers go. */
    private final class RegisterServer implements ProxyRegisters.Server {
        @Override
        public void submit(Command command) {
            ProxyFunction.this.submit(command);
        }

        @Override
        public void submitNow(Command command) {
            ProxyFunction.this.submitNow(command);
        }

        @Override
        public void answered() {
            fruitless = 0;
        }

        @Override
        public boolean isThere() {
            return ProxyFunction.this.isThere();
        }

        @Override
        public void lost(String why) {
            ProxyFunction.this.lost(why);
        }

        @Override
        public boolean takesPosted() {
            DeviceSession current = session;
            return current != null && current.takesPosted();
        }
    }

    @Override
    public @Nullable Migration migration() {
        return migration;
    }

    @Override
    public List<Doorbell> doorbells() {
        return info.doorbells();
    }

    @Override
    public void rung(int doorbell) {
        bells.get(doorbell).ring();
    }

    // Vectors.

    @Override
    public int vectorCount() {
        return info.vectors();
    }

    @Override
    public void vectorsChanged() {
        interrupts.vectors().changed();
    }

    @Override
    public int messageCount() {
        return info.messages();
    }

    @Override
    public void messages(VectorSink to) {
        interrupts.messages().sink(to);
    }

    @Override
    public void messagesChanged() {
        interrupts.messages().changed();
    }

    @Override
    public boolean hasPin() {
        return info.hasPin();
    }

    @Override
    public void pin(VectorSink to) {
        interrupts.pin().sink(to);
    }

    @Override
    public void pinChanged() {
        interrupts.pin().changed();
    }

    @Override
    public void pinMasked(boolean isMasked) {
        submitNow(Command.pinMasked(isMasked, effects.awaited((_, _, _) -> {})));
    }

    /** Where the vectors' commands go. */
    private final class VectorServer implements DeviceVectors.Server {
        @Override
        public void submit(Command command) {
            submitNow(command);
        }

        @Override
        public boolean isThere() {
            return ProxyFunction.this.isThere();
        }

        @Override
        public void lost(String why) {
            ProxyFunction.this.lost(why);
        }

        @Override
        public void failed(Throwable cause) {
            SessionBoundary around = boundary;
            if (around != null) {
                around.failed(cause);
            }
        }
    }

    // Reset.

    @Override
    public void signs(Runnable guestActs, Runnable reset) {
        registers.signs(guestActs);
        whenReset = reset;
    }

    @Override
    public void reset() {
        whenReset.run();
        registers.reset();
        if (session == null && !dialer.isDialing()) {
            return;
        }
        if (!info.canReset()) {
            dma.deviceReset();
            return;
        }
        submit(
                Command.reset(
                        effects.awaited((errno, _, _) -> {
                            if (errno == 0) {
                                runsAgain();
                            }
                            dma.deviceReset();
                        })));
    }

    @Override
    public void whenSettled(Runnable task) {
        effects.whenSettled(task);
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
        return registers.isMaster();
    }

    public Path server() {
        return server;
    }

    /**
     * Whether the server has asked for nothing by a message, ever, though a driver has let its
     * function reach memory. Some take a region without a descriptor and can do nothing with it.
     */
    public boolean isSilent() {
        DmaCounts dma = service.counts();
        return registers.wasMaster()
                && dma.reads() + dma.writes() + dma.refused() + dma.malformed() == 0;
    }

    /** Why the device is not there; empty while it is, or nobody needs it. */
    public String trouble() {
        return trouble;
    }

    public boolean isConnected() {
        return session != null;
    }

    public Isolation isolation() {
        return settings.isolation();
    }

    /** What the server has of memory, if that is passed on. */
    public @Nullable PassedCounts passedCounts() {
        PassedMemory memory = passed;
        return memory == null ? null : memory.counts();
    }

    /** Addresses that the server knows to reach, from 0 on; unsigned. */
    public long reach() {
        return reach.bytes();
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

    /** Interrupts that the server has raised. Any thread. */
    public long interrupts() {
        return interrupts.count();
    }

    /** How often it has come again under a VMM. Any thread. */
    public long returns() {
        return returns.read();
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
