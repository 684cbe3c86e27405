// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import java.util.function.Consumer;
import org.ioasis.loop.EventHandler;
import org.ioasis.loop.EventLoop;
import org.ioasis.peer.ProtocolException;
import org.ioasis.peer.SessionBoundary;
import org.ioasis.spec.PackedRing;
import org.ioasis.spec.SplitRing;
import org.ioasis.spec.VhostUser;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.ioasis.virtqueue.ChainLog;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;

/**
 * The rings of one session: what the front end says of them, and when the device has them. A ring
 * is given to the device when all is said, a descriptor for kicks is there and it is enabled; the
 * protocol allows to wait for the first kick, too, but looks at what is available then in any case.
 * Loop thread only.
 */
final class Vrings {
    private final VhostUserDevice device;
    private final MemoryTable memory;
    private final EventLoop loop;
    private final SessionBoundary boundary;
    private final Vring[] rings;
    private long features;
    private @Nullable InflightLogs logs;

    Vrings(VhostUserDevice device, MemoryTable memory, EventLoop loop, SessionBoundary boundary) {
        this.device = device;
        this.memory = memory;
        this.loop = loop;
        this.boundary = boundary;
        rings = new Vring[device.device().queueCount()];
        for (int i = 0; i < rings.length; i++) {
            rings[i] = new Vring();
        }
    }

    int count() {
        return rings.length;
    }

    private Vring ring(long index) throws ProtocolException {
        if (index >= rings.length) {
            throw new ProtocolException("ring %d of %d".formatted(index, rings.length));
        }
        return rings[(int) index];
    }

    private Vring idle(long index, String what) throws ProtocolException {
        Vring ring = ring(index);
        if (ring.isGiven) {
            throw new ProtocolException(
                    "%s of ring %d changes while it runs".formatted(what, index));
        }
        return ring;
    }

    /** What the driver has accepted, and whether rings are enabled without being told. */
    void features(long accepted) throws ProtocolException {
        if ((accepted & ~device.features()) != 0) {
            throw new ProtocolException("features 0x%x are not offered".formatted(accepted));
        }
        if (accepted != features && device.hasRings()) {
            throw new ProtocolException("features change while rings run");
        }
        features = accepted;
        if ((accepted & VhostUser.F_PROTOCOL_FEATURES) == 0) {
            for (Vring ring : rings) {
                ring.isEnabled = true;
            }
        }
    }

    void size(long index, int size) throws ProtocolException {
        Vring ring = idle(index, "the size");
        int most = device.device().queueSizeMax((int) index);
        // Whether that is a size for the format is known when the ring starts.
        if (size < 1 || size > most) {
            throw new ProtocolException(
                    "ring of %s entries, %d at most"
                            .formatted(Integer.toUnsignedString(size), most));
        }
        ring.size = size;
    }

    void addresses(Request.VringAddress request) throws ProtocolException {
        Vring ring = idle(request.index(), "the place");
        if (request.flags() != 0) {
            throw new ProtocolException("ring with unknown flags 0x%x".formatted(request.flags()));
        }
        ring.descriptor = request.descriptor();
        ring.used = request.used();
        ring.available = request.available();
        ring.hasAddresses = true;
    }

    void base(long index, int base) throws ProtocolException {
        idle(index, "the position").base = base;
    }

    /** Kicks come through {@code fd} from now on. */
    void kick(long index, Fd fd) throws ProtocolException, ErrnoException {
        Vring ring = ring(index);
        EventFd eventFd = EventFd.of(fd);
        boolean isTaken = false;
        try {
            // Each kick is an edge: what the front end does to its counter is no matter.
            ring.kick(
                    eventFd,
                    loop.register(eventFd.fd(), Epoll.IN | Epoll.EDGE, new Kicked((int) index)));
            isTaken = true;
        } finally {
            if (!isTaken) {
                eventFd.close();
            }
        }
    }

    /** No descriptor: we would have to look at the ring all the time. */
    void noKick(long index) throws ProtocolException {
        Vring ring = ring(index);
        if (ring.isGiven) {
            throw new ProtocolException("ring %d without kicks".formatted(index));
        }
        ring.clearKick();
    }

    /** Runs inside the error boundary of the session, as all work on rings does. */
    private final class Kicked implements EventHandler {
        private final Runnable kick;

        Kicked(int index) {
            kick = () -> device.kick(index);
        }

        @Override
        public void ready(int events) {
            boundary.run(kick);
        }

        @Override
        public void failed(Throwable cause) {
            boundary.failed(cause);
        }
    }

    // When the device has them.

    /**
     * Gives the device each ring that is ready. First the one by which it knows whether its driver
     * goes on: its place and its log must be said by then.
     */
    void follow() throws ProtocolException {
        int first = device.keptQueue();
        if (first >= 0 && !device.hasRings() && !rings[first].isReady()) {
            return;
        }
        for (int q = 0; q < rings.length; q++) {
            Vring ring = rings[q];
            if (ring.isReady() && !ring.isGiven) {
                give(q, ring);
            }
        }
    }

    private void give(int q, Vring ring) throws ProtocolException {
        if (!device.hasRings()) {
            long accepted = features & ~VhostUser.F_PROTOCOL_FEATURES;
            String problem = device.begin(accepted, i -> rings[i].base, left());
            if (problem != null) {
                throw new ProtocolException(problem);
            }
        }
        checkPlace(q, ring);
        InflightLogs kept = logs;
        ChainLog log = kept == null ? null : kept.of(q, format(), ring.size);
        boolean isGoneOn = log != null && !log.isNew();
        ring.isGiven =
                device.give(
                        q,
                        ring.size,
                        memory.guestAddress(ring.descriptor),
                        memory.guestAddress(ring.available),
                        memory.guestAddress(ring.used),
                        ring.base,
                        log);
        if (!ring.isGiven) {
            throw new ProtocolException(
                    "no ring %d can have %d entries, its place or its position %d"
                            .formatted(q, ring.size, ring.base));
        }
        ring.log = log;
        if (isGoneOn) {
            tellAnyway(q);
        }
    }

    /** What who was here before has left for the device; null if nobody could. */
    private VhostUserDevice.@Nullable Left left() throws ProtocolException {
        InflightLogs kept = logs;
        if (kept == null) {
            return null;
        }
        boolean isGoneOn = false;
        long[] numbersOut = {};
        for (int q = 0; q < rings.length; q++) {
            ChainLog log = rings[q].size == 0 ? null : kept.of(q, format(), rings[q].size);
            if (log != null && !log.isNew()) {
                isGoneOn = true;
                numbersOut = device.keptQueue() == q ? log.numbersOut() : numbersOut;
            }
        }
        return new VhostUserDevice.Left(kept.state(), isGoneOn, numbersOut);
    }

    /** As the front end's features say, which are those of the device once it has a ring. */
    private RingFormat format() {
        return RingFormat.of(features);
    }

    // The log of chains in flight.

    /** Bytes of a new log as the front end wants it, for what it has said of features. */
    long logBytes(Request.Inflight wanted) throws ProtocolException {
        checkLog(wanted);
        return InflightLogs.bytes(wanted, format(), device.keptBytes());
    }

    private void checkLog(Request.Inflight log) throws ProtocolException {
        int most = device.device().queueSizeMax(0);
        if (log.queues() < 1
                || log.queues() > rings.length
                || log.entries() < 1
                || log.entries() > most) {
            throw new ProtocolException(
                    "log for %d rings of %d entries, %d of %d at most"
                            .formatted(log.queues(), log.entries(), rings.length, most));
        }
    }

    /** Rings that are given from now on have their chains written down there. */
    void log(Request.Inflight log, Fd fd) throws ProtocolException, ErrnoException {
        checkLog(log);
        if (device.hasRings()) {
            throw new ProtocolException("the log changes while rings run");
        }
        InflightLogs mapped = InflightLogs.map(log, fd, device.keptBytes());
        closeLogs();
        logs = mapped;
    }

    /**
     * The driver is notified of a ring that has a log: who was here before may have ended before it
     * could do so. Once too often is legal.
     */
    void tellAnyway(int q) {
        if (logs != null && rings[q].isGiven) {
            device.queue(q);
        }
    }

    /** What was in flight need not be given back any more, in no ring. */
    void forgetLogs() {
        InflightLogs kept = logs;
        if (kept != null) {
            kept.forgetAll();
        }
    }

    /** What is written there stays. While no ring is given. Twice is fine. */
    void closeLogs() {
        device.letGo();
        for (Vring ring : rings) {
            ring.log = null;
        }
        InflightLogs kept = logs;
        if (kept != null) {
            kept.close();
            logs = null;
        }
    }

    private void checkPlace(int q, Vring ring) throws ProtocolException {
        boolean isSplit = format() == RingFormat.SPLIT;
        long descBytes = isSplit ? SplitRing.descBytes(ring.size) : PackedRing.descBytes(ring.size);
        long availBytes = isSplit ? SplitRing.availBytes(ring.size) : PackedRing.EVENT_SIZE;
        long usedBytes = isSplit ? SplitRing.usedBytes(ring.size) : PackedRing.EVENT_SIZE;
        if (!memory.has(ring.descriptor, descBytes)
                || !memory.has(ring.available, availBytes)
                || !memory.has(ring.used, usedBytes)) {
            throw new ProtocolException("ring %d is outside of the shared memory".formatted(q));
        }
    }

    /** The memory has changed: rings that run must still be in it. */
    void memoryChanged() throws ProtocolException {
        for (int q = 0; q < rings.length; q++) {
            if (rings[q].isGiven) {
                checkPlace(q, rings[q]);
            }
        }
        device.device().memoryChanged();
    }

    /**
     * Stops a ring: it begins again with a new descriptor for kicks.
     *
     * @param whenTaken gets where it is, perhaps at once
     */
    void stop(long index, Consumer<Integer> whenTaken) throws ProtocolException {
        Vring ring = ring(index);
        take(
                (int) index,
                base -> {
                    ring.clearKick();
                    // What somebody else has left there is still to be taken, unless the device can
                    // only be reset.
                    if (ring.isLogSettled() || device.isBroken()) {
                        ring.forgetLog();
                    }
                    whenTaken.accept(base);
                });
    }

    /**
     * A ring is disabled, or enabled as it was.
     *
     * @param whenDone runs when it is not processed any more, perhaps at once
     */
    void enable(long index, int num, Runnable whenDone) throws ProtocolException {
        Vring ring = ring(index);
        if ((features & VhostUser.F_PROTOCOL_FEATURES) == 0 || num < 0 || num > 1) {
            throw new ProtocolException("ring %d enabled with %d".formatted(index, num));
        }
        ring.isEnabled = num == 1;
        if (ring.isEnabled) {
            follow();
            whenDone.run();
        } else {
            take((int) index, _ -> whenDone.run());
        }
    }

    private void take(int q, Consumer<Integer> whenTaken) {
        Vring ring = rings[q];
        if (!ring.isGiven) {
            whenTaken.accept(ring.base);
            return;
        }
        device.take(
                q,
                ring.base,
                base -> {
                    ring.isGiven = false;
                    ring.base = base;
                    whenTaken.accept(base);
                });
    }

    /**
     * The driver resets the device: what it had in flight need not be given back. What is left in
     * the log of a ring that the device did not have is none of that: front ends say so also when
     * their guest is paused, with all rings taken back.
     */
    void reset() {
        for (Vring ring : rings) {
            if (ring.isGiven || ring.isLogSettled()) {
                ring.forgetLog();
            }
        }
        forget();
    }

    /** The device is reset: it has no ring, and none is enabled. Twice is fine. */
    void forget() {
        for (Vring ring : rings) {
            ring.log = null;
            ring.isGiven = false;
            ring.isEnabled = false;
            ring.clearKick();
        }
    }
}
