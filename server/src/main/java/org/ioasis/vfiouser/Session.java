// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Region;
import org.ioasis.pci.PciFunction;
import org.ioasis.pci.VectorSink;
import org.ioasis.spec.Pci;
import org.ioasis.spec.VfioUser;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.jspecify.annotations.Nullable;

/**
 * One client's session, from its first message to the release of everything it gave us. Loop thread
 * only, except {@link #dump}.
 *
 * <p>Order: messages are handled one after the other, and replies leave in that order. A DMA_UNMAP
 * is answered when no access can be in the region any more; until then the session reads nothing
 * further, so that what the client sent after it (QEMU sends a new map of the same range without
 * waiting) cannot overtake it. Such a wait is bounded by the guards' and leases' own bounds.
 *
 * <p>Three kinds of mistakes: what leaves the stream readable is answered with an error; what does
 * not ends the session with a reason that is kept; an exception that is none of these is ours and
 * goes to the loop.
 */
final class Session {
    private enum State {
        /** Nothing but VERSION is allowed. */
        NEW,
        READY,
        /** A DMA_UNMAP is not answered yet. */
        WAITING,
        ENDED
    }

    /** Why a session ends whose client has truncated the memory it gave us. */
    static final String MEMORY_GONE = "client's memory cannot be accessed: ";

    /** Messages handled before the loop's other descriptors have their turn. */
    private static final int MESSAGES_PER_TURN = 64;

    private final Channel channel;
    private final PciFunction function;
    private final GuestMemory memory;
    private final SessionLimits limits;
    private final Runnable interestChanged;
    private final Runnable released;

    private final MemorySegment input;
    private final MemorySegment reply;
    private final MemorySegment output;
    private int inputBytes;
    private int outputFirst;
    private int outputEnd;
    private final ArrayList<Fd> fds = new ArrayList<>();

    /** By first address. A region without descriptor has none. */
    private final Map<Long, Mapping> mappings = new HashMap<>();

    private long mappedBytes;
    private final @Nullable EventFd[] vectors;
    private @Nullable Header header;

    /** What runs on after {@link #end}: the waits for regions to become unused. */
    private int releasing;

    private boolean isBusy;
    private volatile State state = State.NEW;
    private volatile String reason = "";
    private final AtomicLong messages = new AtomicLong();
    private final AtomicLong errors = new AtomicLong();
    private volatile int lastCommand;
    private volatile String lastError = "none";
    private boolean isMemoryUnshared;

    /**
     * @param interestChanged runs when {@link #interest} has changed outside {@link #ready}
     * @param released runs once, after the end, when the client's memory is no longer in use and
     *     everything it gave us is closed
     */
    Session(
            Channel channel,
            PciFunction function,
            GuestMemory memory,
            SessionLimits limits,
            Runnable interestChanged,
            Runnable released) {
        this.channel = channel;
        this.function = function;
        this.memory = memory;
        this.limits = limits;
        this.interestChanged = interestChanged;
        this.released = released;
        Arena arena = Arena.ofAuto();
        input = arena.allocate(Codec.MESSAGE_MAX, 8);
        reply = arena.allocate(Codec.MESSAGE_MAX, 8);
        output = arena.allocate(limits.outputBytes(), 8);
        vectors = new EventFd[function.vectorCount()];
        function.vectors(this::trigger);
    }

    /** Which events of the channel matter now. */
    int interest() {
        return switch (state) {
            case NEW, READY -> Epoll.IN | (outputEnd > outputFirst ? Epoll.OUT : 0);
            case WAITING -> outputEnd > outputFirst ? Epoll.OUT : 0;
            case ENDED -> 0;
        };
    }

    boolean hasEnded() {
        return state == State.ENDED;
    }

    /** True if there may be more to handle than the last turn had time for. */
    boolean isBusy() {
        return isBusy;
    }

    /** Why the session ended; empty while it has not. */
    String reason() {
        return reason;
    }

    /** The channel is ready for {@code events}. */
    void ready(int events) {
        try {
            if ((events & Epoll.OUT) != 0) {
                flush();
            }
            if (state == State.WAITING) {
                if ((events & (Epoll.HUP | Epoll.ERR)) != 0) {
                    throw new ProtocolException("client closed while a DMA_UNMAP was waiting");
                }
            } else if ((events & (Epoll.IN | Epoll.HUP | Epoll.ERR)) != 0) {
                receive();
            }
        } catch (ProtocolException e) {
            end(String.valueOf(e.getMessage()));
        } catch (ErrnoException e) {
            end(String.valueOf(e.getMessage()));
        } catch (InternalError e) {
            // A page of a mapping is gone: the client has truncated its file. The JVM may raise it
            // later than the access, so whatever this turn read is dropped with the session.
            end(MEMORY_GONE + e.getMessage());
        }
    }

    private void receive() throws ProtocolException, ErrnoException {
        isBusy = true;
        for (int i = 0; i < MESSAGES_PER_TURN; i++) {
            if (state == State.WAITING || state == State.ENDED || !receiveMessage()) {
                isBusy = false;
                return;
            }
            Header complete = header;
            if (complete == null) {
                throw new IllegalStateException("message without header");
            }
            inputBytes = 0;
            header = null;
            count(messages);
            lastCommand = complete.command();
            try {
                handle(complete, Codec.request(complete, input));
            } finally {
                closeFds();
            }
        }
    }

    /**
     * Reads on until the message is complete. Never past its end: descriptors come with the bytes
     * they were sent with, so those that came with these bytes belong to this message.
     */
    private boolean receiveMessage() throws ProtocolException, ErrnoException {
        while (true) {
            int wanted = header == null ? VfioUser.HEADER_SIZE : (int) header.size();
            if (inputBytes == wanted) {
                if (header != null) {
                    return true;
                }
                Header read = Codec.header(input);
                Codec.check(read);
                header = read;
                continue;
            }
            int n = channel.receive(input, inputBytes, wanted - inputBytes, fds);
            if (n == -Errno.EAGAIN) {
                return false;
            }
            if (n <= 0) {
                throw new ProtocolException(
                        inputBytes == 0
                                ? "client closed"
                                : "client closed after " + inputBytes + " bytes of a message");
            }
            inputBytes += n;
            if (fds.size() > Codec.FDS_MAX) {
                throw new ProtocolException(fds.size() + " descriptors with one message");
            }
        }
    }

    private void handle(Header header, Request request) throws ProtocolException, ErrnoException {
        if (request instanceof Request.Refused refused) {
            refuse(header, refused.errno(), refused.why());
            if (state == State.NEW) {
                throw new ProtocolException("no agreement on a version: " + refused.why());
            }
            return;
        }
        if (state == State.NEW && !(request instanceof Request.Version)) {
            refuse(header, Errno.EINVAL, "command before VERSION");
            throw new ProtocolException("command " + header.command() + " before VERSION");
        }
        if (!fds.isEmpty() && !mayCarryFds(request)) {
            refuse(header, Errno.EINVAL, "descriptors with a command that takes none");
            return;
        }
        switch (request) {
            case Request.Version version -> version(header, version);
            case Request.DmaMap map -> map(header, map);
            case Request.DmaUnmap unmap -> unmap(header, unmap);
            case Request.DmaUnmapAll _ -> unmapAll(header);
            case Request.DeviceInfo _ -> send(header, Codec.deviceInfo(reply, header));
            case Request.RegionInfo info -> regionInfo(header, info);
            case Request.IrqInfo info -> irqInfo(header, info);
            case Request.SetIrqs irqs -> setIrqs(header, irqs);
            case Request.RegionRead read -> read(header, read);
            case Request.RegionWrite write -> write(header, write);
            case Request.Reset _ -> {
                function.reset();
                send(header, Codec.empty(reply, header));
            }
            case Request.Refused _ -> throw new IllegalStateException("handled above");
        }
    }

    private static boolean mayCarryFds(Request request) {
        return request instanceof Request.DmaMap
                || (request instanceof Request.SetIrqs irqs
                        && irqs.kind() == Request.IrqData.EVENTFD);
    }

    private void version(Header header, Request.Version version)
            throws ProtocolException, ErrnoException {
        if (state != State.NEW) {
            refuse(header, Errno.EINVAL, "second VERSION");
            return;
        }
        if (version.major() != VfioUser.VERSION_MAJOR) {
            refuse(header, Errno.ENOTSUP, "version not supported");
            throw new ProtocolException(
                    "client speaks version " + version.major() + "." + version.minor());
        }
        state = State.READY;
        int room = (int) header.size() - VfioUser.HEADER_SIZE - VfioUser.VERSION_DATA;
        byte[] data = VersionData.reply(version.capabilities(), limits.regions(), room);
        send(header, Codec.version(reply, header, data));
    }

    // Memory.

    private void map(Header header, Request.DmaMap map) throws ProtocolException, ErrnoException {
        if (fds.size() > 1) {
            refuse(header, Errno.EINVAL, "DMA_MAP with more than one descriptor");
            return;
        }
        if (fds.isEmpty() && map.isWritable()) {
            // Guest RAM that nobody can reach would hang the guest silently; this shows at once.
            isMemoryUnshared = true;
            refuse(header, Errno.EINVAL, "DMA_MAP of writable memory without a descriptor");
            return;
        }
        if (memory.regionCount() >= limits.regions()) {
            refuse(header, Errno.ENOSPC, "limit of DMA regions");
            return;
        }
        Mapping mapping = null;
        if (!fds.isEmpty()) {
            if (map.size() > limits.bytes() - mappedBytes) {
                refuse(header, Errno.ENOSPC, "limit of mapped bytes");
                return;
            }
            try {
                mapping = Mapping.map(fds.getFirst(), map.offset(), map.size(), map.isWritable());
            } catch (ErrnoException e) {
                refuse(header, e.errno(), "DMA_MAP cannot be mapped");
                return;
            }
        }
        Region region =
                new Region(
                        map.address(),
                        map.last(),
                        mapping == null ? null : mapping.segment(),
                        map.isWritable(),
                        mapping == null ? null : mapping::lend);
        int error =
                switch (memory.add(region)) {
                    case DONE -> 0;
                    case OVERLAPS -> Errno.EEXIST;
                    case LIMIT -> Errno.ENOSPC;
                    case MISSING -> throw new IllegalStateException("nothing is missing in an add");
                };
        if (error != 0) {
            if (mapping != null) {
                mapping.close();
            }
            refuse(header, error, "DMA_MAP overlaps a region or exceeds the limit of regions");
            return;
        }
        if (mapping != null) {
            mappings.put(map.address(), mapping);
            mappedBytes += map.size();
        }
        send(header, Codec.empty(reply, header));
        function.memoryChanged();
    }

    private void unmap(Header header, Request.DmaUnmap unmap)
            throws ProtocolException, ErrnoException {
        state = State.WAITING;
        releasing++;
        GuestMemory.Change change =
                memory.remove(
                        unmap.address(),
                        unmap.last(),
                        () -> {
                            unmapped(unmap.address());
                            answerUnmap(header, 0, unmap.address(), unmap.size());
                        });
        if (change != GuestMemory.Change.DONE) {
            releasing--;
            state = State.READY;
            refuse(header, Errno.ENOENT, "DMA_UNMAP of what is not a region");
        }
    }

    private void unmapAll(Header header) {
        state = State.WAITING;
        releasing++;
        memory.clear(() -> {
            unmappedAll();
            answerUnmap(header, VfioUser.VFIO_DMA_UNMAP_FLAG_ALL, 0, 0);
        });
    }

    private void unmapped(long address) {
        Mapping mapping = mappings.remove(address);
        if (mapping != null) {
            mappedBytes -= mapping.segment().byteSize();
            mapping.close();
        }
    }

    private void unmappedAll() {
        for (Mapping mapping : mappings.values()) {
            mapping.close();
        }
        mappings.clear();
        mappedBytes = 0;
    }

    /** The region is unused and closed. Perhaps long after the command, perhaps after the end. */
    private void answerUnmap(Header header, int flags, long address, long size) {
        releasing--;
        if (state == State.ENDED) {
            checkReleased();
            return;
        }
        state = State.READY;
        try {
            send(header, Codec.dmaUnmap(reply, header, flags, address, size));
        } catch (ProtocolException e) {
            end(String.valueOf(e.getMessage()));
        } catch (ErrnoException e) {
            end(String.valueOf(e.getMessage()));
        }
        interestChanged.run();
    }

    // Registers.

    private void regionInfo(Header header, Request.RegionInfo info)
            throws ProtocolException, ErrnoException {
        if (info.index() < 0 || info.index() >= VfioUser.VFIO_PCI_NUM_REGIONS) {
            refuse(header, Errno.EINVAL, "no such region");
            return;
        }
        long size = regionSize(info.index());
        send(header, Codec.regionInfo(reply, header, info.index(), size));
    }

    private long regionSize(int region) {
        if (region >= VfioUser.VFIO_PCI_BAR0_REGION_INDEX
                && region <= VfioUser.VFIO_PCI_BAR5_REGION_INDEX) {
            return function.barSize(region);
        }
        return region == VfioUser.VFIO_PCI_CONFIG_REGION_INDEX ? Pci.CONFIG_SPACE_SIZE : 0;
    }

    private boolean isInRegion(int region, long offset, int count) {
        // Neither the offset nor its sum with count can overflow this way round.
        return offset >= 0 && offset <= regionSize(region) - count;
    }

    private void read(Header header, Request.RegionRead read)
            throws ProtocolException, ErrnoException {
        int count = read.count();
        if (!isInRegion(read.region(), read.offset(), count)) {
            refuse(header, Errno.EINVAL, "read outside of a region");
            return;
        }
        long data = VfioUser.HEADER_SIZE + (long) VfioUser.REGION_ACCESS_DATA;
        if (read.region() == VfioUser.VFIO_PCI_CONFIG_REGION_INDEX) {
            int at = (int) read.offset();
            for (int done = 0; done < count; ) {
                int size = pieceSize(at + done, count - done);
                Codec.register(reply, data + done, size, function.configRead(at + done, size));
                done += size;
            }
        } else if (isRegisterSize(count)) {
            long value = function.barRead(read.region(), read.offset(), count);
            Codec.register(reply, data, count, value);
        } else {
            refuse(header, Errno.EINVAL, "read of a BAR that is no register access");
            return;
        }
        send(header, Codec.regionRead(reply, header, read.region(), read.offset(), count));
    }

    private void write(Header header, Request.RegionWrite write)
            throws ProtocolException, ErrnoException {
        int count = write.count();
        if (!isInRegion(write.region(), write.offset(), count)) {
            refuse(header, Errno.EINVAL, "write outside of a region");
            return;
        }
        if (write.region() == VfioUser.VFIO_PCI_CONFIG_REGION_INDEX) {
            int at = (int) write.offset();
            for (int done = 0; done < count; ) {
                int size = pieceSize(at + done, count - done);
                long value = Codec.register(write.data(), write.dataOffset() + done, size);
                function.configWrite(at + done, size, (int) value);
                done += size;
            }
        } else if (isRegisterSize(count)) {
            long value = Codec.register(write.data(), write.dataOffset(), count);
            function.barWrite(write.region(), write.offset(), count, value);
        } else {
            refuse(header, Errno.EINVAL, "write of a BAR that is no register access");
            return;
        }
        send(header, Codec.regionWrite(reply, header, write.region(), write.offset(), count));
    }

    private static boolean isRegisterSize(int count) {
        return count == 1 || count == 2 || count == 4 || count == 8;
    }

    /** The largest naturally aligned access of at most 4 bytes. */
    private static int pieceSize(int offset, int left) {
        if (left >= 4 && offset % 4 == 0) {
            return 4;
        }
        return left >= 2 && offset % 2 == 0 ? 2 : 1;
    }

    // Interrupts.

    private void irqInfo(Header header, Request.IrqInfo info)
            throws ProtocolException, ErrnoException {
        if (info.index() < 0 || info.index() >= VfioUser.VFIO_PCI_NUM_IRQS) {
            refuse(header, Errno.EINVAL, "no such interrupt type");
            return;
        }
        send(header, Codec.irqInfo(reply, header, info.index(), irqCount(info.index())));
    }

    private int irqCount(int index) {
        return index == VfioUser.VFIO_PCI_MSIX_IRQ_INDEX ? vectors.length : 0;
    }

    private void setIrqs(Header header, Request.SetIrqs irqs)
            throws ProtocolException, ErrnoException {
        if (irqs.index() < 0 || irqs.index() >= VfioUser.VFIO_PCI_NUM_IRQS) {
            refuse(header, Errno.EINVAL, "no such interrupt type");
            return;
        }
        if (irqs.count() == 0) {
            if (irqs.kind() != Request.IrqData.NONE || irqs.start() != 0) {
                refuse(header, Errno.EINVAL, "SET_IRQS of no interrupt");
                return;
            }
            if (irqs.index() == VfioUser.VFIO_PCI_MSIX_IRQ_INDEX) {
                closeVectors(0, vectors.length);
            }
            send(header, Codec.empty(reply, header));
            return;
        }
        if (irqs.start() + irqs.count() > irqCount(irqs.index())) {
            refuse(header, Errno.EINVAL, "SET_IRQS of vectors that are not there");
            return;
        }
        int first = (int) irqs.start();
        int end = first + (int) irqs.count();
        switch (irqs.kind()) {
            case NONE -> {
                for (int vector = first; vector < end; vector++) {
                    boolean _ = trigger(vector);
                }
            }
            case BOOL -> {
                for (int vector = first; vector < end; vector++) {
                    long at = irqs.dataOffset() + (vector - first);
                    if (irqs.data().get(ValueLayout.JAVA_BYTE, at) != 0) {
                        boolean _ = trigger(vector);
                    }
                }
            }
            case EVENTFD -> {
                if (!fds.isEmpty() && fds.size() != irqs.count()) {
                    refuse(header, Errno.EINVAL, "SET_IRQS with a wrong number of descriptors");
                    return;
                }
                if (!replaceVectors(first, end)) {
                    refuse(header, Errno.EINVAL, "SET_IRQS with what is no eventfd");
                    return;
                }
            }
        }
        send(header, Codec.empty(reply, header));
    }

    private boolean trigger(int vector) {
        EventFd eventFd = vectors[vector];
        if (eventFd == null) {
            return false;
        }
        eventFd.signal();
        return true;
    }

    /** Sets vectors to the message's descriptors, or to none. False has changed nothing. */
    private boolean replaceVectors(int first, int end) {
        EventFd[] taken = new EventFd[fds.size()];
        for (int i = 0; i < taken.length; i++) {
            try {
                taken[i] = EventFd.of(fds.get(i));
            } catch (ErrnoException e) {
                for (int j = 0; j < i; j++) {
                    taken[j].close();
                }
                return false;
            }
        }
        closeVectors(first, end);
        System.arraycopy(taken, 0, vectors, first, taken.length);
        function.vectorsChanged();
        return true;
    }

    private void closeVectors(int first, int end) {
        for (int vector = first; vector < end; vector++) {
            EventFd eventFd = vectors[vector];
            if (eventFd != null) {
                eventFd.close();
            }
        }
        Arrays.fill(vectors, first, end, null);
    }

    private static void count(AtomicLong counter) {
        // One writer: no locked instruction needed.
        counter.setOpaque(counter.getPlain() + 1);
    }

    private void closeFds() {
        for (int i = 0; i < fds.size(); i++) {
            fds.get(i).close();
        }
        fds.clear();
    }

    // Output.

    private void refuse(Header header, int errno, String why)
            throws ProtocolException, ErrnoException {
        count(errors);
        lastError = why;
        send(header, Codec.error(reply, header, errno));
    }

    /** Sends the {@code size} bytes of the reply, or keeps what the client has no room for. */
    private void send(Header header, int size) throws ProtocolException, ErrnoException {
        if (!header.wantsReply()) {
            return;
        }
        int kept = outputEnd - outputFirst;
        if (kept + size > limits.outputBytes()) {
            throw new ProtocolException("client does not read its replies");
        }
        if (outputEnd + size > limits.outputBytes()) {
            MemorySegment.copy(output, outputFirst, output, 0, kept);
            outputFirst = 0;
            outputEnd = kept;
        }
        MemorySegment.copy(reply, 0, output, outputEnd, size);
        outputEnd += size;
        flush();
    }

    private void flush() throws ErrnoException {
        while (outputFirst < outputEnd) {
            int n = channel.send(output, outputFirst, outputEnd - outputFirst);
            if (n == -Errno.EAGAIN) {
                return;
            }
            outputFirst += n;
        }
        outputFirst = 0;
        outputEnd = 0;
    }

    // The end.

    /**
     * Ends the session, whatever its state; twice is fine. The function is reset first, so that
     * nothing new begins; descriptors and the channel are closed; the memory goes when nobody uses
     * it any more.
     */
    void end(String why) {
        if (state == State.ENDED) {
            return;
        }
        state = State.ENDED;
        reason = why;
        isBusy = false;
        releasing++;
        RuntimeException failure = null;
        try {
            function.reset();
        } catch (InternalError e) {
            reason = why + "; its memory was gone at the reset";
        } catch (RuntimeException e) {
            failure = e;
        }
        function.vectors(VectorSink.NONE);
        closeVectors(0, vectors.length);
        closeFds();
        channel.close();
        memory.clear(() -> {
            unmappedAll();
            releasing--;
            checkReleased();
        });
        if (failure != null) {
            throw failure;
        }
    }

    private void checkReleased() {
        if (releasing == 0) {
            released.run();
        }
    }

    /** True if the client had writable memory that it did not share. */
    boolean isMemoryUnshared() {
        return isMemoryUnshared;
    }

    long messageCount() {
        return messages.get();
    }

    long errorCount() {
        return errors.get();
    }

    String lastError() {
        return lastError;
    }

    /** What happened so far, in one line; any thread. */
    String dump() {
        return "%s, %d messages (last command %d), %d errors (last: %s)%s"
                .formatted(
                        state,
                        messages.get(),
                        lastCommand,
                        errors.get(),
                        lastError,
                        reason.isEmpty() ? "" : ", ended: " + reason);
    }
}
