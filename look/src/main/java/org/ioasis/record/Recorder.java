// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import java.io.IOException;
import java.lang.System.Logger.Level;
import java.nio.channels.FileChannel;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import java.util.function.LongSupplier;
import org.ioasis.iommu.AccessObserver;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.machine.IommuUnit;
import org.ioasis.memory.Access;
import org.ioasis.memory.Count;
import org.ioasis.output.OutputFile;
import org.ioasis.output.OutputKind;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.virtio.iommu.StateObserver;
import org.ioasis.virtio.iommu.VirtioIommuDevice;
import org.jspecify.annotations.Nullable;

/**
 * Records what drivers ask of their IOMMUs and what endpoints do, into a file that a replay and a
 * sweep read. Loops never wait for it: what they see goes through a ring of each ({@link
 * EventRing}) to a thread of its own, and what finds no room is counted and said in its place.
 *
 * <p>Built, begun and closed by one thread.
 */
public final class Recorder implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger("org.ioasis.record");
    private static final Status[] STATUSES = Status.values();
    private static final FaultReason[] REASONS = FaultReason.values();
    private static final Refusal[] REFUSALS = Refusal.values();
    private static final int NO_REFUSAL = -1;
    private static final String LOST = "ioasis.lost";

    /** Until a ring is looked at again: it holds what comes meanwhile at ten million a second. */
    private static final long PAUSE_NANOS = 20_000_000;

    // What is lost of a recording when its process is killed; more the longer it is, so that its
    // parts stay few.
    private static final long FLUSH_NANOS = 10_000_000_000L;
    private static final long FLUSH_NANOS_A_PART = 100_000_000L;

    private static final long CLOSE_MILLIS = 30_000;

    /**
     * What was recorded.
     *
     * @param rows in the file
     * @param lost rows that are missing in it
     * @param bytes of the file
     * @param failure why it could not be written to its end, for people; null if it could
     */
    public record Figures(long rows, long lost, long bytes, @Nullable String failure) {
        /** For people: what became of it. */
        public String sentence(String file) {
            String what =
                    "recorded %d rows, %d bytes, in %s%s"
                            .formatted(
                                    rows,
                                    bytes,
                                    file,
                                    lost == 0
                                            ? ""
                                            : "; %d are missing, which could not be written"
                                                    .formatted(lost));
            return failure == null ? what : what + "; it ended early: " + failure;
        }
    }

    /** One IOMMU that is recorded. */
    private record Watched(String name, EventRing ring, Iommu engine) {}

    private final RecordConfig config;
    private final OutputFile file;
    private final FileChannel channel;
    private final RowFiles.Writer writer;
    private final LongSupplier clock;
    private final int capacity;
    private final long began;
    private final Thread thread;
    private final Map<String, EventRing> rings = new LinkedHashMap<>();
    private final List<Watched> watched = new ArrayList<>();

    // Of the writer's thread, once that has begun.
    private final Map<String, String> about = new LinkedHashMap<>();
    private final Row row = new Row();
    private long flushedAt;
    private long writtenLost;
    private long added;
    private boolean isOver;

    private final Count rows = new Count();
    private final Count dropped = new Count();
    private volatile boolean isClosing;
    private volatile @Nullable String failure;

    private final EventRing.Names names =
            new EventRing.Names() {
                @Override
                public String iommu(int index) {
                    return watched.get(index).name();
                }

                @Override
                public long since(long time) {
                    return time - began;
                }

                @Override
                public @Nullable String status(Event event, int ordinal) {
                    if (!event.hasStatus()) {
                        return null;
                    }
                    return event == Event.FAULT
                            ? REASONS[ordinal].name()
                            : STATUSES[ordinal].name();
                }

                @Override
                public @Nullable String refusal(int ordinal) {
                    return ordinal == NO_REFUSAL ? null : REFUSALS[ordinal].name();
                }
            };

    private Recorder(RecordConfig config, int capacity, LongSupplier clock) throws IOException {
        this.config = config;
        this.capacity = capacity;
        this.clock = clock;
        file = OutputFile.open(config.file(), OutputKind.RECORDING);
        boolean isOpen = false;
        try {
            channel = file.channel();
            writer = RowFiles.found().create(channel);
            isOpen = true;
        } finally {
            if (!isOpen) {
                file.close();
            }
        }
        began = clock.getAsLong();
        flushedAt = began;
        thread = Thread.ofPlatform().name("record").daemon().unstarted(this::write);
    }

    /**
     * A recording in a new file.
     *
     * @throws IOException the file cannot be written, or is there and no recording
     */
    public static Recorder create(RecordConfig config) throws IOException {
        return new Recorder(config, EventRing.CAPACITY, System::nanoTime);
    }

    /** For tests: with a ring and a clock of theirs. */
    static Recorder create(RecordConfig config, int capacity, LongSupplier clock)
            throws IOException {
        return new Recorder(config, capacity, clock);
    }

    /**
     * Records an IOMMU. Before its first endpoint has a way to memory, and before {@link #begin}.
     *
     * @param machine whose loop it is on
     * @param device that its driver has
     */
    public void watch(String machine, String name, Iommu engine, VirtioIommuDevice device) {
        device.observeState(watch(machine, name, engine));
    }

    /** An IOMMU of a machine. When it is added, and nothing behind it. */
    public void watch(String machine, IommuUnit unit) {
        watch(machine, unit.name(), unit.engine(), unit.device());
    }

    /** The same, for who tells of what is decided himself. */
    StateObserver watch(String machine, String name, Iommu engine) {
        EventRing ring = rings.computeIfAbsent(machine, _ -> new EventRing(capacity));
        Tap tap = new Tap(ring, clock, watched.size());
        watched.add(new Watched(machine + "/" + name, ring, engine));
        engine.observe(tap);
        return tap;
    }

    /** Writes from now on. When all endpoints are there, and before the machines start. */
    public void begin() {
        about.put("ioasis.schema", "1");
        about.put("ioasis.command", config.command());
        about.put("ioasis.began", Instant.now().toString());
        for (int i = 0; i < watched.size(); i++) {
            Watched one = watched.get(i);
            Setup.of(one.name(), one.engine()).write(i, about);
        }
        thread.start();
    }

    /** What one IOMMU shows, on its way into the ring of its loop. That loop's thread. */
    private static final class Tap implements AccessObserver, StateObserver {
        private final EventRing ring;
        private final LongSupplier clock;
        private final int iommu;

        Tap(EventRing ring, LongSupplier clock, int iommu) {
            this.ring = ring;
            this.clock = clock;
            this.iommu = iommu;
        }

        @Override
        public void accessed(
                int endpoint,
                int pasid,
                long domain,
                long first,
                long length,
                Access access,
                long output) {
            add(
                    Event.ACCESS,
                    endpoint,
                    pasid,
                    domain,
                    first,
                    first + (length - 1),
                    output,
                    access.bit(),
                    0,
                    NO_REFUSAL);
        }

        @Override
        @SuppressWarnings("EnumOrdinal") // what this process has added, it takes
        public void refused(
                int endpoint,
                int pasid,
                long domain,
                long first,
                long length,
                Access access,
                FaultReason reason) {
            long last = first + (length - 1);
            boolean isPastEnd = Long.compareUnsigned(last, first) < 0;
            add(
                    Event.FAULT,
                    endpoint,
                    pasid,
                    domain,
                    first,
                    isPastEnd ? -1L : last,
                    0,
                    access.bit() | (isPastEnd ? Row.PAST_END : 0),
                    reason.ordinal(),
                    NO_REFUSAL);
        }

        @Override
        public void deviceStarted(int endpoint, int pasid) {
            about(Event.START, endpoint, pasid, 0);
        }

        @Override
        public void deviceReset(int endpoint, int pasid) {
            about(Event.STOP, endpoint, pasid, 0);
        }

        @Override
        @SuppressWarnings("EnumOrdinal") // likewise
        public void decided(
                RequestType type,
                int endpoint,
                int domain,
                long first,
                long last,
                long output,
                int flags,
                Status status,
                @Nullable Refusal refusal) {
            add(
                    event(type),
                    endpoint,
                    Row.NONE,
                    Integer.toUnsignedLong(domain),
                    first,
                    last,
                    output,
                    flags,
                    status.ordinal(),
                    refusal == null ? NO_REFUSAL : refusal.ordinal());
        }

        private static Event event(RequestType type) {
            return switch (type) {
                case ATTACH -> Event.ATTACH;
                case DETACH -> Event.DETACH;
                case MAP -> Event.MAP;
                case UNMAP -> Event.UNMAP;
                case ATTACH_TABLE -> Event.TABLE;
                case PROBE, INVALIDATE, PAGE_RESPONSE, UNKNOWN ->
                        throw new IllegalArgumentException(type + " changes nothing");
            };
        }

        @Override
        public void bypass(boolean isBypassing) {
            about(Event.BYPASS, 0, Row.NONE, isBypassing ? 1 : 0);
        }

        @Override
        public void reset(boolean isMachine) {
            about(Event.RESET, 0, Row.NONE, isMachine ? 1 : 0);
        }

        private void about(Event event, int endpoint, int pasid, int flags) {
            add(event, endpoint, pasid, Row.NONE, 0, 0, 0, flags, 0, NO_REFUSAL);
        }

        private void add(
                Event event,
                int endpoint,
                int pasid,
                long domain,
                long first,
                long last,
                long output,
                int flags,
                int status,
                int refusal) {
            ring.add(
                    clock.getAsLong(),
                    iommu,
                    event,
                    endpoint,
                    pasid,
                    domain,
                    first,
                    last,
                    output,
                    flags,
                    status,
                    refusal);
        }
    }

    // The writer's thread
    // --------------------------------------------------------------------------------------------

    private void write() {
        try {
            while (true) {
                boolean isLast = isClosing;
                if (takeAll()) {
                    continue;
                }
                if (isLast) {
                    end();
                    return;
                }
                if (writer.pending() > 0 && clock.getAsLong() - flushedAt > patience()) {
                    flush();
                }
                LockSupport.parkNanos(PAUSE_NANOS);
            }
        } catch (Error e) {
            // Of the library, or no memory: the thread ends, and says so.
            failure = e.toString();
            throw e;
        } finally {
            writer.close();
        }
    }

    private long patience() {
        return FLUSH_NANOS + writer.parts() * FLUSH_NANOS_A_PART;
    }

    private boolean takeAll() {
        boolean hasTaken = false;
        for (EventRing ring : rings.values()) {
            // No more than it holds, so that the others have their turn.
            for (int i = 0; i < capacity && ring.take(row, added, names); i++) {
                hasTaken = true;
                writtenLost += row.lost();
                add();
            }
        }
        return hasTaken;
    }

    private void add() {
        if (isOver) {
            dropped.increment();
            return;
        }
        try {
            writer.add(row);
            added++;
        } catch (IOException | RuntimeException e) {
            dropped.increment();
            fail(e);
            return;
        }
        if (writer.pending() == writer.pendingLimit()) {
            flush();
        }
    }

    private void flush() {
        flushedAt = clock.getAsLong();
        if (isOver) {
            return;
        }
        try {
            about.put(LOST, Long.toString(lost()));
            if (writer.flush(about, config.limitBytes())) {
                rows.add(added - rows.read());
                if (writer.isFull()) {
                    over("as many parts as a reader takes, %d".formatted(writer.parts()));
                }
            } else {
                over("its limit of %d bytes".formatted(config.limitBytes()));
            }
        } catch (IOException | RuntimeException e) {
            fail(e);
        }
    }

    /** The machines go on, and what comes now is only counted. */
    private void fail(Exception e) {
        failure = String.valueOf(e.getMessage());
        over();
        LOG.log(Level.ERROR, "the recording ends: it cannot be written", e);
    }

    private void over(String limit) {
        over();
        LOG.log(
                Level.WARNING,
                "the recording has reached {0}: what follows is only counted",
                limit);
    }

    private void over() {
        isOver = true;
        dropped.add(added - rows.read());
        added = rows.read();
    }

    /** What found no room in a ring or in the file. */
    private long lost() {
        return rings.values().stream().mapToLong(EventRing::lost).sum() + dropped.read();
    }

    private void end() {
        flush();
        if (failure != null) {
            return;
        }
        try {
            long unwritten = lost() - writtenLost;
            if (unwritten > 0) {
                row.begin(added, clock.getAsLong() - began, Event.LOST, watched.getFirst().name());
                row.lost(unwritten);
                writer.add(row);
                added++;
            }
            about.put(LOST, Long.toString(lost()));
            // These words have room whatever the limit is.
            if (!writer.flush(about, Long.MAX_VALUE)) {
                throw new IllegalStateException("a file without a limit is full");
            }
            rows.add(added - rows.read());
        } catch (IOException | RuntimeException e) {
            fail(e);
        }
    }

    /** What is recorded so far. Any thread. */
    public Figures figures() {
        return new Figures(rows.read(), lost(), writer.bytes(), failure);
    }

    /** For people: what became of the recording. */
    public String sentence() {
        return figures().sentence(config.file().toString());
    }

    /** Writes what there is. When the machines have ended; twice is fine. */
    @Override
    public void close() throws IOException {
        isClosing = true;
        LockSupport.unpark(thread);
        try {
            if (thread.isAlive() && !thread.join(Duration.ofMillis(CLOSE_MILLIS))) {
                failure = "the file takes nothing any more";
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            channel.close();
            file.close();
        }
    }
}
