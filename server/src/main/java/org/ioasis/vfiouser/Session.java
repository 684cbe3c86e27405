// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.function.Consumer;
import java.util.function.IntSupplier;
import java.util.function.ToIntFunction;
import org.ioasis.memory.GuestMemory;
import org.ioasis.pci.Migration;
import org.ioasis.pci.PciDevice;
import org.ioasis.pci.Regions;
import org.ioasis.peer.MessageStream;
import org.ioasis.peer.PeerChannel;
import org.ioasis.peer.PeerSession;
import org.ioasis.peer.ProtocolException;
import org.ioasis.peer.SessionHost;
import org.ioasis.peer.SharedMemory;
import org.ioasis.peer.StreamBuffers;
import org.ioasis.peer.UnreadDescriptors;
import org.ioasis.spec.VfioUser;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;

/**
 * One client's session, from its first message to the release of everything it gave us. Loop thread
 * only.
 *
 * <p>A DMA_UNMAP is answered when no access can be in the region any more: QEMU sends a new map of
 * the same range without waiting. Of many regions also their unmapping takes several turns of the
 * loop. The same holds for a reset and for a write that takes DMA away which devices elsewhere may
 * do.
 *
 * <p>Three kinds of mistakes: what leaves the stream readable is answered with an error; what does
 * not ends the session with a reason that is kept; an exception that is none of these is ours and
 * goes to the loop.
 */
final class Session extends PeerSession<Header> {
    private final MessageStream<Header> stream;
    private final PciDevice function;
    private final SharedMemory memory;
    private final ClientInterrupts interrupts;
    private final Regions regions;
    private final Doorbells doorbells;
    private final MigrationMessages migration;
    private final LoggingMessages logging;

    /** Nothing but VERSION is allowed before it. */
    private boolean isNegotiated;

    /** Descriptors that the client takes with one message, no more than we send. */
    private int fdsMax = VfioUser.MAX_MSG_FDS_DEFAULT;

    /**
     * @param memory the function's guest memory; this session's alone
     * @param buffers this session's alone, until it is released
     * @param doorbells this session's alone
     * @param loop runs what is left for later turns
     */
    Session(
            PeerChannel channel,
            PciDevice function,
            GuestMemory memory,
            SessionLimits limits,
            StreamBuffers buffers,
            Doorbells doorbells,
            Executor loop,
            SessionHost host) {
        this(
                new MessageStream<>(channel, buffers, Codec.FRAMING),
                function,
                memory,
                new SharedMemory(memory, limits.bytes(), loop, function.passesMemoryOn()),
                doorbells,
                host);
    }

    private Session(
            MessageStream<Header> stream,
            PciDevice function,
            GuestMemory written,
            SharedMemory memory,
            Doorbells doorbells,
            SessionHost host) {
        super(stream, memory, host);
        this.doorbells = doorbells;
        this.stream = stream;
        this.function = function;
        this.memory = memory;
        interrupts = new ClientInterrupts(function);
        regions = function.regions();
        migration = new MigrationMessages(function.migration());
        logging =
                new LoggingMessages(
                        function.passesMemoryOn() ? null : written,
                        why -> report(new SharedMemory.Refusal(Errno.ENOSPC, why)));
    }

    @Override
    protected void handle(Header header) throws ProtocolException, ErrnoException {
        handle(header, Codec.request(header, stream.input()));
    }

    private void handle(Header header, Request request) throws ProtocolException, ErrnoException {
        if (request instanceof Request.Refused refused) {
            refuse(header, refused.errno(), refused.why());
            if (!isNegotiated) {
                throw new ProtocolException("no agreement on a version: " + refused.why());
            }
            return;
        }
        if (!isNegotiated && !(request instanceof Request.Version)) {
            refuse(header, Errno.EINVAL, "command before VERSION");
            throw new ProtocolException("command " + header.command() + " before VERSION");
        }
        if (!stream.fds().isEmpty() && !mayCarryFds(request)) {
            refuse(header, Errno.EINVAL, "descriptors with a command that takes none");
            return;
        }
        switch (request) {
            case Request.Version version -> version(header, version);
            case Request.DmaMap map -> map(header, map);
            case Request.DmaUnmap unmap -> unmap(header, unmap);
            case Request.DmaUnmapAll _ -> unmapAll(header);
            case Request.DeviceInfo _ -> send(header, Codec.deviceInfo(stream.reply(), header));
            case Request.RegionInfo info -> regionInfo(header, info);
            case Request.IoFds asked -> ioFds(header, asked);
            case Request.IrqInfo info -> irqInfo(header, info);
            case Request.SetIrqs irqs -> setIrqs(header, irqs);
            case Request.RegionRead read -> read(header, read);
            case Request.RegionWrite write -> write(header, write);
            case Request.RegionWriteMulti multi -> ask(() -> writeOn(header, multi.writes(), 0));
            case Request.Feature asked ->
                    feature(header, asked.flags(), done -> migration.feature(asked, done));
            case Request.Logging asked -> logging(header, asked);
            case Request.MigRead asked ->
                    move(
                            header,
                            done -> migration.read(asked, done),
                            data -> FeatureCodec.migData(stream.reply(), header, data));
            case Request.MigWrite asked ->
                    move(
                            header,
                            done -> migration.write(asked, done),
                            _ -> Codec.empty(stream.reply(), header));
            case Request.Reset _ -> {
                function.reset();
                answerWhenSettled(header, () -> Codec.empty(stream.reply(), header));
            }
            case Request.Refused _ -> throw new IllegalStateException("handled above");
        }
    }

    private static boolean mayCarryFds(Request request) {
        return switch (request) {
            case Request.DmaMap _ -> true;
            // Of no use to anybody, but some clients send one.
            case Request.DmaUnmap _, Request.DmaUnmapAll _ -> true;
            case Request.SetIrqs irqs -> irqs.kind() == Request.IrqData.EVENTFD;
            default -> false;
        };
    }

    private void version(Header header, Request.Version version)
            throws ProtocolException, ErrnoException {
        if (isNegotiated) {
            refuse(header, Errno.EINVAL, "second VERSION");
            return;
        }
        if (version.major() != VfioUser.VERSION_MAJOR) {
            refuse(header, Errno.ENOTSUP, "version not supported");
            throw new ProtocolException(
                    "client speaks version " + version.major() + "." + version.minor());
        }
        isNegotiated = true;
        int room = (int) header.size() - VfioUser.HEADER_SIZE - VfioUser.VERSION_DATA;
        VersionData.Proposal proposal = version.proposal();
        fdsMax = proposal.fdsMax();
        byte[] data = VersionData.reply(proposal.capabilities(), memory.regionLimit(), room);
        send(header, Codec.version(stream.reply(), header, data));
    }

    // Memory.

    private void map(Header header, Request.DmaMap map) throws ProtocolException, ErrnoException {
        List<Fd> fds = stream.fds();
        if (fds.size() > 1) {
            refuse(header, Errno.EINVAL, "DMA_MAP with more than one descriptor");
            return;
        }
        SharedMemory.Refusal refusal =
                memory.add(
                        map.address(),
                        map.last(),
                        fds.isEmpty() ? null : fds.getFirst(),
                        map.offset(),
                        map.isWritable());
        if (refusal != null) {
            report(refusal);
            refuse(header, refusal.errno(), refusal.why());
            return;
        }
        send(header, Codec.empty(stream.reply(), header));
        function.memoryChanged();
    }

    private void unmap(Header header, Request.DmaUnmap unmap)
            throws ProtocolException, ErrnoException {
        begin();
        SharedMemory.Refusal refusal =
                memory.remove(
                        unmap.address(),
                        unmap.last(),
                        () ->
                                answer(
                                        header,
                                        () -> unmapped(header, 0, unmap.address(), unmap.size())));
        if (refusal != null) {
            takeBack();
            refuse(header, refusal.errno(), refusal.why());
        }
    }

    private void unmapAll(Header header) {
        begin();
        int all = VfioUser.VFIO_DMA_UNMAP_FLAG_ALL;
        memory.removeAll(() -> answer(header, () -> unmapped(header, all, 0, 0)));
    }

    private int unmapped(Header header, int flags, long address, long size) {
        return Codec.dmaUnmap(stream.reply(), header, flags, address, size);
    }

    /** Answers when what the function was told has all of its effect; mostly at once. */
    private void answerWhenSettled(Header header, IntSupplier reply) {
        begin();
        function.whenSettled(() -> answer(header, reply));
    }

    /**
     * What was begun for the message is done.
     *
     * @param reply writes the answer and returns its size
     */
    private void answer(Header header, IntSupplier reply) {
        done(() -> send(header, reply.getAsInt()));
    }

    // Registers.

    private void regionInfo(Header header, Request.RegionInfo info)
            throws ProtocolException, ErrnoException {
        if (info.index() < 0 || info.index() >= VfioUser.VFIO_PCI_NUM_REGIONS) {
            refuse(header, Errno.EINVAL, "no such region");
            return;
        }
        long size = regions.size(info.index());
        send(header, Codec.regionInfo(stream.reply(), header, info.index(), size));
    }

    // A move.

    private void logging(Header header, Request.Logging asked) {
        if (asked instanceof Request.LoggingReport && !header.wantsReply()) {
            // It would be told to nobody, and forgotten.
            return;
        }
        endTurn(); // they look at all regions, or at as many pages as a question may have
        feature(header, asked.flags(), done -> logging.ask(asked, done));
    }

    private void feature(Header header, int flags, Consumer<Migration.Answer> question) {
        move(
                header,
                question,
                data ->
                        FeatureCodec.feature(
                                stream.reply(FeatureCodec.size(data)), header, flags, data));
    }

    /**
     * Asks what has to do with a move, and answers with the data that is the answer.
     *
     * @param reply writes it, and returns the size of the message
     */
    private void move(
            Header header, Consumer<Migration.Answer> question, ToIntFunction<byte[]> reply) {
        ask(() ->
                question.accept((errno, data) ->
                        answer(
                                header,
                                () ->
                                        errno == 0
                                                ? reply.applyAsInt(data)
                                                : moveRefused(header, errno))));
    }

    private int moveRefused(Header header, int errno) {
        answeredWithError("what moves a device: " + Errno.name(errno));
        return Codec.error(stream.reply(), header, errno);
    }

    // Doorbells.

    private void ioFds(Header header, Request.IoFds asked)
            throws ProtocolException, ErrnoException {
        if (asked.index() < 0 || asked.index() >= VfioUser.VFIO_PCI_NUM_REGIONS) {
            refuse(header, Errno.EINVAL, "no such region");
            return;
        }
        int most = UnreadDescriptors.ALL.haveRoom() ? fdsMax : 0;
        List<Integer> those = doorbells.of(asked.index(), most);
        MemorySegment reply = stream.reply();
        if (those.isEmpty() || asked.room() < Codec.ioFdsSize(those.size())) {
            send(header, Codec.ioFds(reply, header, asked.index(), those.size()));
            return;
        }
        if (!header.wantsReply()) {
            return;
        }
        List<Fd> fds = doorbells.open(those);
        stream.send(
                Codec.ioFds(
                        reply, header, asked.index(), those.stream().map(doorbells::get).toList()),
                fds);
    }

    private void read(Header header, Request.RegionRead read) {
        ask(() -> read(header, read, stream.reply()));
    }

    /** Begins an access to a region; what is thrown before its answer is no answer. */
    private void ask(Runnable access) {
        begin();
        boolean isBegun = false;
        try {
            access.run();
            isBegun = true;
        } finally {
            if (!isBegun) {
                takeBack();
            }
        }
    }

    private void read(Header header, Request.RegionRead read, MemorySegment reply) {
        regions.read(
                read.region(),
                read.offset(),
                read.count(),
                reply,
                VfioUser.HEADER_SIZE + (long) VfioUser.REGION_ACCESS_DATA,
                errno ->
                        answer(
                                header,
                                () ->
                                        errno == 0
                                                ? Codec.regionRead(
                                                        reply,
                                                        header,
                                                        read.region(),
                                                        read.offset(),
                                                        read.count())
                                                : refusal(header, errno, "read", read.region())));
    }

    private void write(Header header, Request.RegionWrite write) {
        ask(() ->
                regions.write(
                        write.region(),
                        write.offset(),
                        write.count(),
                        write.data(),
                        write.dataOffset(),
                        !header.wantsReply(),
                        errno -> written(header, write, errno)));
    }

    private void written(Header header, Request.RegionWrite write, int errno) {
        if (errno != 0) {
            answer(header, () -> refusal(header, errno, "write", write.region()));
            return;
        }
        function.whenSettled(() ->
                answer(
                        header,
                        () ->
                                Codec.regionWrite(
                                        stream.reply(),
                                        header,
                                        write.region(),
                                        write.offset(),
                                        write.count())));
    }

    /**
     * Writes what follows the first {@code done} ones. What comes behind one that is refused is not
     * written, and the answer says how many were.
     */
    private void writeOn(Header header, List<Request.RegionWrite> writes, int done) {
        if (done == writes.size()) {
            function.whenSettled(() -> answer(header, () -> manyWritten(header, done)));
            return;
        }
        Request.RegionWrite write = writes.get(done);
        regions.write(
                write.region(),
                write.offset(),
                write.count(),
                write.data(),
                write.dataOffset(),
                !header.wantsReply(),
                errno -> {
                    if (errno == 0) {
                        writeOn(header, writes, done + 1);
                        return;
                    }
                    answer(
                            header,
                            () -> {
                                int refused = refusal(header, errno, "write", write.region());
                                return done == 0 ? refused : manyWritten(header, done);
                            });
                });
    }

    private int manyWritten(Header header, int done) {
        return Codec.regionWriteMulti(stream.reply(), header, done);
    }

    private int refusal(Header header, int errno, String access, int region) {
        answeredWithError(
                errno == Errno.EINVAL
                        ? access + " that is no access to a region"
                        : "%s of region %d: %s".formatted(access, region, Errno.name(errno)));
        return Codec.error(stream.reply(), header, errno);
    }

    // Interrupts.

    private void irqInfo(Header header, Request.IrqInfo info)
            throws ProtocolException, ErrnoException {
        if (info.index() < 0 || info.index() >= VfioUser.VFIO_PCI_NUM_IRQS) {
            refuse(header, Errno.EINVAL, "no such interrupt type");
            return;
        }
        int count = interrupts.count(info.index());
        send(header, Codec.irqInfo(stream.reply(), header, info.index(), count));
    }

    private void setIrqs(Header header, Request.SetIrqs irqs)
            throws ProtocolException, ErrnoException {
        if (irqs.index() < 0 || irqs.index() >= VfioUser.VFIO_PCI_NUM_IRQS) {
            refuse(header, Errno.EINVAL, "no such interrupt type");
            return;
        }
        String refusal = interrupts.set(irqs, stream.fds());
        if (refusal != null) {
            refuse(header, Errno.EINVAL, refusal);
            return;
        }
        answerWhenSettled(header, () -> Codec.empty(stream.reply(), header));
    }

    // Output.

    private void refuse(Header header, int errno, String why)
            throws ProtocolException, ErrnoException {
        answeredWithError(why);
        send(header, Codec.error(stream.reply(), header, errno));
    }

    private void send(Header header, int size) throws ProtocolException, ErrnoException {
        if (header.wantsReply()) {
            stream.send(size);
        }
    }

    // The end.

    @Override
    protected void resetDevice() {
        function.reset();
    }

    @Override
    protected void closeNotifiers() {
        logging.stop();
        interrupts.leave();
        doorbells.close();
        interrupts.close();
    }

    @Override
    protected void whenSettled(Runnable task) {
        function.whenSettled(task);
    }
}
