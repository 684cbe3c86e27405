// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import static org.ioasis.spec.VhostUser.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.loop.EventLoop;
import org.ioasis.memory.GuestMemory;
import org.ioasis.peer.EventVectors;
import org.ioasis.peer.MessageStream;
import org.ioasis.peer.PeerChannel;
import org.ioasis.peer.PeerSession;
import org.ioasis.peer.ProtocolException;
import org.ioasis.peer.SessionBoundary;
import org.ioasis.peer.SessionHost;
import org.ioasis.peer.SharedMemory;
import org.ioasis.peer.StreamBuffers;
import org.ioasis.spec.Virtio;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Memfd;
import org.ioasis.virtio.VirtioDevice;
import org.jspecify.annotations.Nullable;

/**
 * One front end's session, from its first message to the release of everything it gave us. Loop
 * thread only.
 *
 * <p>What takes time is a ring that is taken back while a request of it is with the engine, and
 * memory that is in use.
 *
 * <p>The protocol knows no error that a front end would go on after, so each mistake ends the
 * session with a reason that is kept, and changes nothing else.
 */
final class Session extends PeerSession<Header> implements VhostUserDevice.Sink {
    /** What we have of the protocol's extensions. */
    static final long PROTOCOL_FEATURES =
            PROTOCOL_F_MQ
                    | PROTOCOL_F_REPLY_ACK
                    | PROTOCOL_F_BACKEND_REQ
                    | PROTOCOL_F_CONFIG
                    | PROTOCOL_F_INFLIGHT_SHMFD
                    | PROTOCOL_F_RESET_DEVICE
                    | PROTOCOL_F_CONFIGURE_MEM_SLOTS
                    | PROTOCOL_F_STATUS;

    private final MessageStream<Header> stream;
    private final VhostUserDevice device;
    private final SharedMemory shared;
    private final MemoryTable memory;
    private final Vrings rings;
    private final EventVectors calls;
    private final EventVectors errors;
    private @Nullable BackendChannel channel;
    private long protocolFeatures;
    private long status;

    /**
     * @param memory the device's guest memory; this session's alone
     * @param byteLimit address space of what is mapped, in bytes
     * @param buffers this session's alone, until it is released
     */
    Session(
            PeerChannel channel,
            VhostUserDevice device,
            GuestMemory memory,
            long byteLimit,
            StreamBuffers buffers,
            EventLoop loop,
            SessionBoundary boundary,
            SessionHost host) {
        this(
                new MessageStream<>(channel, buffers, Codec.FRAMING),
                device,
                new SharedMemory(memory, byteLimit, loop::execute),
                loop,
                boundary,
                host);
    }

    @SuppressWarnings("this-escape") // the device notifies nobody before a message has come
    private Session(
            MessageStream<Header> stream,
            VhostUserDevice device,
            SharedMemory shared,
            EventLoop loop,
            SessionBoundary boundary,
            SessionHost host) {
        super(stream, shared, host);
        this.stream = stream;
        this.device = device;
        this.shared = shared;
        memory = new MemoryTable(shared);
        rings = new Vrings(device, memory, loop, boundary);
        calls = new EventVectors(rings.count());
        errors = new EventVectors(rings.count());
        device.sendTo(this);
    }

    @Override
    protected void handle(Header header) throws ProtocolException, ErrnoException {
        Request request = Codec.request(header, stream.input());
        checkFds(request);
        handle(header, request);
    }

    private void checkFds(Request request) throws ProtocolException {
        int count = stream.fds().size();
        boolean isRight =
                switch (request) {
                    case Request.Table table -> count == table.regions().size();
                    case Request.VringFd fd -> count == (fd.hasFd() ? 1 : 0);
                    case Request.OneRegion one ->
                            // Of no use to anybody, but some front ends send one.
                            count == 1 || (one.type() == REM_MEM_REG && count == 0);
                    case Request.Plain plain ->
                            count == (plain.type() == SET_BACKEND_REQ_FD ? 1 : 0);
                    case Request.Inflight log -> count == (log.type() == SET_INFLIGHT_FD ? 1 : 0);
                    case Request.Value _,
                            Request.VringState _,
                            Request.VringAddress _,
                            Request.Config _ ->
                            count == 0;
                };
        if (!isRight) {
            throw new ProtocolException(
                    "%d descriptors with %s".formatted(count, request.getClass().getSimpleName()));
        }
    }

    private void handle(Header header, Request request) throws ProtocolException, ErrnoException {
        switch (request) {
            case Request.Plain plain -> handle(header, plain);
            case Request.Value sent -> handle(header, sent);
            case Request.VringState vring -> handle(header, vring);
            case Request.VringAddress address -> {
                rings.addresses(address);
                rings.follow();
                acknowledge(header);
            }
            case Request.VringFd fd -> handle(header, fd);
            case Request.Inflight log -> handle(header, log);
            case Request.Table table -> replaceMemory(header, table);
            case Request.OneRegion one -> handle(header, one);
            case Request.Config config -> handle(header, config);
        }
    }

    private void handle(Header header, Request.Plain plain)
            throws ProtocolException, ErrnoException {
        switch (plain.type()) {
            case GET_FEATURES -> answer(header, device.features());
            case GET_PROTOCOL_FEATURES -> answer(header, PROTOCOL_FEATURES);
            case GET_QUEUE_NUM -> {
                needs(PROTOCOL_F_MQ);
                answer(header, rings.count());
            }
            case GET_MAX_MEM_SLOTS -> {
                needs(PROTOCOL_F_CONFIGURE_MEM_SLOTS);
                answer(header, shared.regionLimit());
            }
            case GET_STATUS -> {
                needs(PROTOCOL_F_STATUS);
                int own = device.device().status() & Virtio.STATUS_DEVICE_NEEDS_RESET;
                answer(header, status | own);
            }
            case RESET_DEVICE -> {
                needs(PROTOCOL_F_RESET_DEVICE);
                rings.forgetLogs();
                reset();
                acknowledge(header);
            }
            case SET_BACKEND_REQ_FD -> {
                needs(PROTOCOL_F_BACKEND_REQ);
                closeChannel();
                channel = new BackendChannel(stream.fds().getFirst());
                acknowledge(header);
            }
            case SET_OWNER, RESET_OWNER -> acknowledge(header);
            default -> throw new IllegalStateException("request " + plain.type());
        }
    }

    private void reset() {
        rings.reset();
        device.reset();
        status = 0;
    }

    private void handle(Header header, Request.Value sent)
            throws ProtocolException, ErrnoException {
        switch (sent.type()) {
            case SET_FEATURES -> {
                rings.features(sent.value());
                rings.follow();
            }
            case SET_PROTOCOL_FEATURES -> {
                if ((sent.value() & ~PROTOCOL_FEATURES) != 0) {
                    throw new ProtocolException(
                            "protocol features 0x%x are not offered".formatted(sent.value()));
                }
                protocolFeatures = sent.value();
            }
            case SET_STATUS -> {
                needs(PROTOCOL_F_STATUS);
                if (sent.value() < 0 || sent.value() > 0xff) {
                    throw new ProtocolException("status 0x%x".formatted(sent.value()));
                }
                if (sent.value() == 0) {
                    reset();
                }
                status = sent.value();
            }
            default -> throw new IllegalStateException("request " + sent.type());
        }
        acknowledge(header);
    }

    /** An extension is for those who have said that they know it. */
    private void needs(long feature) throws ProtocolException {
        if ((protocolFeatures & feature) == 0) {
            throw new ProtocolException(
                    "request of protocol feature 0x%x, which is not negotiated".formatted(feature));
        }
    }

    // Rings.

    private void handle(Header header, Request.VringState vring)
            throws ProtocolException, ErrnoException {
        switch (vring.type()) {
            case SET_VRING_NUM -> rings.size(vring.index(), vring.num());
            case SET_VRING_BASE -> rings.base(vring.index(), vring.num());
            case SET_VRING_ENABLE -> {
                pause();
                rings.enable(vring.index(), vring.num(), () -> goOn(() -> acknowledge(header)));
                return;
            }
            case GET_VRING_BASE -> {
                pause();
                rings.stop(
                        vring.index(),
                        base ->
                                goOn(() ->
                                        stream.send(
                                                Codec.vringState(
                                                        stream.reply(),
                                                        header,
                                                        (int) vring.index(),
                                                        base))));
                return;
            }
            default -> throw new IllegalStateException("request " + vring.type());
        }
        rings.follow();
        acknowledge(header);
    }

    private void handle(Header header, Request.VringFd fd)
            throws ProtocolException, ErrnoException {
        if (fd.index() >= rings.count()) {
            throw new ProtocolException("ring %d of %d".formatted(fd.index(), rings.count()));
        }
        int index = (int) fd.index();
        switch (fd.type()) {
            case SET_VRING_KICK -> {
                if (fd.hasFd()) {
                    rings.kick(index, stream.fds().getFirst());
                    rings.follow();
                } else {
                    rings.noKick(index);
                }
            }
            case SET_VRING_CALL -> {
                set(calls, index);
                rings.tellAnyway(index);
            }
            case SET_VRING_ERR -> set(errors, index);
            default -> throw new IllegalStateException("request " + fd.type());
        }
        acknowledge(header);
    }

    private void set(EventVectors vectors, int index) throws ProtocolException {
        if (stream.fds().isEmpty()) {
            vectors.clear(index, index + 1);
        } else if (!vectors.set(index, stream.fds())) {
            throw new ProtocolException("descriptor for ring %d is no eventfd".formatted(index));
        }
    }

    private void handle(Header header, Request.Inflight log)
            throws ProtocolException, ErrnoException {
        needs(PROTOCOL_F_INFLIGHT_SHMFD);
        if (log.type() == GET_INFLIGHT_FD) {
            long bytes = rings.logBytes(log);
            Fd fd = Memfd.create("ioasis-inflight", bytes);
            stream.send(Codec.inflight(stream.reply(), header, log, bytes), List.of(fd));
            return;
        }
        rings.log(log, stream.fds().getFirst());
        acknowledge(header);
    }

    // Memory.

    private void replaceMemory(Header header, Request.Table table) throws ErrnoException {
        // The message's own are closed with it.
        List<Fd> fds = new ArrayList<>();
        boolean isBegun = false;
        try {
            for (Fd fd : stream.fds()) {
                fds.add(fd.duplicate());
            }
            isBegun = true;
        } finally {
            if (!isBegun) {
                fds.forEach(Fd::close);
            }
        }
        begin();
        memory.removeAll(() -> {
            try {
                done(() -> addAll(header, table.regions(), fds));
            } finally {
                fds.forEach(Fd::close);
            }
        });
    }

    private void addAll(Header header, List<MemoryRegion> regions, List<Fd> fds)
            throws ProtocolException, ErrnoException {
        for (int i = 0; i < regions.size(); i++) {
            check(memory.add(regions.get(i), fds.get(i)));
        }
        rings.memoryChanged();
        acknowledge(header);
    }

    private void handle(Header header, Request.OneRegion one)
            throws ProtocolException, ErrnoException {
        needs(PROTOCOL_F_CONFIGURE_MEM_SLOTS);
        if (one.type() == ADD_MEM_REG) {
            check(memory.add(one.region(), stream.fds().getFirst()));
            rings.memoryChanged();
            acknowledge(header);
            return;
        }
        begin();
        SharedMemory.Refusal refusal =
                memory.remove(
                        one.region(),
                        () ->
                                done(() -> {
                                    rings.memoryChanged();
                                    acknowledge(header);
                                }));
        if (refusal != null) {
            takeBack();
            check(refusal);
        }
    }

    private void check(SharedMemory.@Nullable Refusal refusal) throws ProtocolException {
        if (refusal != null) {
            report(refusal);
            throw new ProtocolException(refusal.why());
        }
    }

    // Configuration.

    private void handle(Header header, Request.Config config)
            throws ProtocolException, ErrnoException {
        needs(PROTOCOL_F_CONFIG);
        VirtioDevice target = device.device();
        if (config.type() == GET_CONFIG) {
            device.guestActs();
            MemorySegment reply = stream.reply();
            for (int i = 0; i < config.size(); i++) {
                reply.set(
                        ValueLayout.JAVA_BYTE,
                        HEADER_SIZE + CONFIG_DATA + (long) i,
                        (byte) target.readConfig(config.offset() + i, 1));
            }
            stream.send(Codec.config(reply, header, config.offset(), config.size()));
            return;
        }
        if (config.flags() != 0) {
            throw new ProtocolException("configuration with flags 0x%x".formatted(config.flags()));
        }
        // A front end writes all of it when the guest has written a part.
        for (int i = 0; i < config.size(); i++) {
            int at = config.offset() + i;
            long value =
                    stream.input().get(ValueLayout.JAVA_BYTE, HEADER_SIZE + CONFIG_DATA + (long) i)
                            & 0xff;
            if (at < target.configSize() && target.readConfig(at, 1) != value) {
                target.writeConfig(at, 1, value);
            }
        }
        begin();
        target.whenSettled(() -> done(() -> acknowledge(header)));
    }

    // Output.

    private void answer(Header header, long value) throws ProtocolException, ErrnoException {
        stream.send(Codec.number(stream.reply(), header, value));
    }

    /** Says that a request is done that has no answer of its own, if that is wanted. */
    private void acknowledge(Header header) throws ProtocolException, ErrnoException {
        if (header.needsReply() && (protocolFeatures & PROTOCOL_F_REPLY_ACK) != 0) {
            answer(header, 0);
        }
    }

    // Notifications.

    @Override
    public void queue(int queue) {
        boolean _ = calls.trigger(queue);
    }

    @Override
    public void config() {
        BackendChannel open = channel;
        if (open != null && (protocolFeatures & PROTOCOL_F_CONFIG) != 0) {
            open.configChanged();
        }
    }

    @Override
    public void broken() {
        for (int q = 0; q < errors.count(); q++) {
            boolean _ = errors.trigger(q);
        }
    }

    private void closeChannel() {
        BackendChannel open = channel;
        if (open != null) {
            open.close();
            channel = null;
        }
    }

    // The end.

    @Override
    protected void resetDevice() {
        rings.forget();
        device.letGo();
        device.end();
    }

    @Override
    protected void closeNotifiers() {
        device.sendTo(null);
        calls.clear();
        errors.clear();
        rings.closeLogs();
        closeChannel();
    }

    @Override
    protected void whenSettled(Runnable task) {
        device.device().whenSettled(task);
    }
}
