// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.time.InstantSource;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.output.OutputFile;
import org.ioasis.virtio.iommu.IommuObserver;

/**
 * Writes what passes between drivers and IOMMUs to a file, a line each. Devices never wait for the
 * file: entries go through a queue of bounded length to a thread of its own, and those that find it
 * full are counted and said in the trace. A file that is a trace already is written on. One that
 * has reached its limit says so, and at the end how many entries came after that.
 *
 * <p>Observers for any thread; closed by one.
 */
public final class Trace implements AutoCloseable {
    /** Entries that may wait. */
    static final int CAPACITY = 16_384;

    private static final System.Logger LOG = System.getLogger("org.ioasis.live");
    private static final long POLL_MILLIS = 200;
    private static final long CLOSE_MILLIS = 5_000;

    /** Of the limit, for the lines that say that it is reached. */
    private static final int LAST_LINES = 512;

    private static final String SELF = "trace";

    private final ArrayBlockingQueue<Entry.Timed> queue;
    private final AtomicLong lost = new AtomicLong();
    private final InstantSource clock;
    private final TraceConfig config;
    private final boolean isJson;
    private final long limit;
    private final Thread writer;
    private volatile boolean isClosing;
    private volatile boolean isReopening;

    private final List<Watched> watched = new CopyOnWriteArrayList<>();

    // Of the writer's thread, once that has begun.
    private final Linker linker = new Linker();
    private OutputFile file;
    private OutputStream out;
    private long bytes;

    private boolean isFull;
    private long leftOut;

    private Trace(TraceConfig config, int capacity, InstantSource clock) throws IOException {
        this.config = config;
        isJson = config.isJson();
        limit = config.limitBytes();
        this.clock = clock;
        file = OutputFile.open(config.file(), config.kind());
        out = appending();
        queue = new ArrayBlockingQueue<>(capacity);
        writer = Thread.ofPlatform().name("trace").daemon().unstarted(this::write);
    }

    /**
     * Starts a trace in a new file, or behind an old one.
     *
     * @throws IOException the file cannot be written, or is there and no such trace, or full
     */
    public static Trace start(TraceConfig config) throws IOException {
        Trace trace = new Trace(config, CAPACITY, InstantSource.system());
        trace.writer.start();
        return trace;
    }

    /** For tests: not started, so that the queue fills. */
    static Trace idle(TraceConfig config, int capacity, InstantSource clock) throws IOException {
        return new Trace(config, capacity, clock);
    }

    /** Starts the writing of an {@link #idle} trace. */
    void begin() {
        writer.start();
    }

    /** Writes down what happens at each IOMMU of the machine. Before it starts. */
    public void watch(Machine machine) {
        for (IommuUnit unit : machine.iommus()) {
            String who = machine.name() + "/" + unit.name();
            watched.add(new Watched(who, unit.engine().faults()::dropped));
            unit.watch(observer(who));
        }
    }

    /** An IOMMU, and how many of its faults nobody is told of. */
    private static final class Watched {
        private final String who;
        private final LongSupplier dropped;
        private long written;

        Watched(String who, LongSupplier dropped) {
            this.who = who;
            this.dropped = dropped;
        }
    }

    /** For tests: as {@link #watch}. */
    void count(String who, LongSupplier dropped) {
        watched.add(new Watched(who, dropped));
    }

    private void writeDropped() throws IOException {
        for (Watched one : watched) {
            long now = one.dropped.getAsLong();
            if (now > one.written) {
                long more = now - one.written;
                one.written = now;
                write(new Entry.Timed(clock.instant(), one.who, new Entry.FaultsLeftOut(more)));
            }
        }
    }

    IommuObserver observer(String who) {
        return Entry.observer(entry -> add(who, entry));
    }

    private void add(String who, Entry entry) {
        if (!queue.offer(new Entry.Timed(clock.instant(), who, entry))) {
            lost.incrementAndGet();
        }
    }

    /** Where the trace goes on; closes the file if it cannot. */
    private OutputStream appending() throws IOException {
        boolean isOpen = false;
        try {
            bytes = file.size();
            if (bytes > limit - 2 * LAST_LINES) {
                throw new IOException(
                        "%s has %d bytes, and a trace may have %d: name another file or raise --trace-limit (trace_limit)"
                                .formatted(config.file(), bytes, limit));
            }
            OutputStream behind = file.appending();
            isOpen = true;
            return behind;
        } finally {
            if (!isOpen) {
                file.close();
            }
        }
    }

    /**
     * Closes the file, which somebody may have moved away, and goes on in the one that has its name
     * now, soon.
     */
    public void reopen() {
        isReopening = true;
    }

    private void openAgain() throws IOException {
        isReopening = false;
        writeLost();
        writeLeftOut();
        out.close();
        // Its lock is in the way of another opening of the same file.
        file.close();
        file = OutputFile.open(config.file(), config.kind());
        out = appending();
        isFull = false;
        leftOut = 0;
        write(new Entry.Timed(clock.instant(), SELF, new Entry.Begun()));
    }

    private void write() {
        try {
            write(new Entry.Timed(clock.instant(), SELF, new Entry.Begun()));
            while (true) {
                if (isReopening) {
                    openAgain();
                }
                Entry.Timed next = queue.poll();
                if (next == null) {
                    writeLost();
                    writeDropped();
                    out.flush();
                    if (isClosing) {
                        writeLeftOut();
                        out.close();
                        return;
                    }
                    next = queue.poll(POLL_MILLIS, TimeUnit.MILLISECONDS);
                    if (next == null) {
                        continue;
                    }
                }
                writeLost();
                write(linker.linked(next));
            }
        } catch (IOException e) {
            // The machines go on; what waits now and later is lost.
            LOG.log(System.Logger.Level.ERROR, "the trace ends: it cannot be written", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            file.close();
        }
    }

    private void write(Entry.Timed timed) throws IOException {
        if (isFull) {
            leftOut++;
            return;
        }
        byte[] line = line(timed);
        if (bytes + line.length > limit - LAST_LINES) {
            isFull = true;
            leftOut++;
            out.write(line(new Entry.Timed(timed.time(), SELF, new Entry.Full(limit))));
            return;
        }
        out.write(line);
        bytes += line.length;
    }

    private byte[] line(Entry.Timed timed) throws IOException {
        return ((isJson ? EntryLine.json(timed) : EntryLine.text(timed)) + "\n")
                .getBytes(StandardCharsets.UTF_8);
    }

    private void writeLost() throws IOException {
        long count = lost.getAndSet(0);
        if (count > 0) {
            write(new Entry.Timed(clock.instant(), SELF, new Entry.Lost(count)));
        }
    }

    private void writeLeftOut() throws IOException {
        if (leftOut > 0) {
            out.write(line(new Entry.Timed(clock.instant(), SELF, new Entry.LeftOut(leftOut))));
        }
    }

    /** Writes what waits, five seconds at most, and closes the file. Twice is fine. */
    @Override
    public void close() {
        isClosing = true;
        boolean isInterrupted = false;
        try {
            writer.join(CLOSE_MILLIS);
        } catch (InterruptedException e) {
            isInterrupted = true;
        }
        if (isInterrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
