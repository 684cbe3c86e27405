// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.OutputStream;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.InstantSource;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.output.OutputFile;
import org.ioasis.virtio.iommu.IommuObserver;
import org.ioasis.virtio.iommu.IommuRequest;
import org.jspecify.annotations.Nullable;

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

    /** What can be in a trace. */
    private sealed interface Entry {
        /** The first of each file, by which it is known as a trace. */
        record Begun() implements Entry {}

        /** The driver started the device. */
        record Started(long features) implements Entry {}

        /** The device was reset. */
        record Reset() implements Entry {}

        /** A request and its answer; no status if it was given back without one. */
        record Answered(IommuRequest request, @Nullable Status status, String why)
                implements Entry {}

        /** A request whose answer comes later. */
        record Waits(IommuRequest request) implements Entry {}

        /** An access was refused; {@code cause} is empty if nothing is known of it. */
        record Refused(Fault fault, String cause) implements Entry {}

        /** So many refused accesses came faster than they are kept. */
        record FaultsLeftOut(long count) implements Entry {}

        /** The driver was told of a fault. */
        record Delivered(Fault fault) implements Entry {}

        /** A failure was planted, or a planted one has happened. */
        record Injected(String what) implements Entry {}

        /** Entries that found the queue full. */
        record Lost(long count) implements Entry {}

        /** The file is as large as it may be. */
        record Full(long limit) implements Entry {}

        /** Entries after that. */
        record LeftOut(long count) implements Entry {}
    }

    private record Timed(Instant time, String who, Entry entry) {}

    private final ArrayBlockingQueue<Timed> queue;
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
    private final Map<String, Causes> causes = new HashMap<>();
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
            unit.device().observe(observer(who));
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
                write(new Timed(clock.instant(), one.who, new Entry.FaultsLeftOut(more)));
            }
        }
    }

    /** With what is known of what came before. */
    private Timed linked(Timed timed) {
        Causes before = causes.computeIfAbsent(timed.who, _ -> new Causes());
        return switch (timed.entry) {
            case Entry.Answered(IommuRequest request, Status status, String why) -> {
                before.answered(timed.time, request, status, why);
                yield timed;
            }
            case Entry.Reset() -> {
                before.reset();
                yield timed;
            }
            case Entry.Refused(Fault fault, String _) ->
                    new Timed(timed.time, timed.who, new Entry.Refused(fault, before.of(fault)));
            default -> timed;
        };
    }

    IommuObserver observer(String who) {
        return new IommuObserver() {
            @Override
            public void started(long features) {
                add(who, new Entry.Started(features));
            }

            @Override
            public void reset() {
                add(who, new Entry.Reset());
            }

            @Override
            public void answered(IommuRequest request, @Nullable Status status, String why) {
                add(who, new Entry.Answered(request, status, why));
            }

            @Override
            public void waits(IommuRequest request) {
                add(who, new Entry.Waits(request));
            }

            @Override
            public void refusedAccess(Fault fault) {
                add(who, new Entry.Refused(fault, ""));
            }

            @Override
            public void delivered(Fault fault) {
                add(who, new Entry.Delivered(fault));
            }

            @Override
            public void injected(String what) {
                add(who, new Entry.Injected(what));
            }
        };
    }

    private void add(String who, Entry entry) {
        if (!queue.offer(new Timed(clock.instant(), who, entry))) {
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
        write(new Timed(clock.instant(), SELF, new Entry.Begun()));
    }

    private void write() {
        try {
            write(new Timed(clock.instant(), SELF, new Entry.Begun()));
            while (true) {
                if (isReopening) {
                    openAgain();
                }
                Timed next = queue.poll();
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
                write(linked(next));
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

    private void write(Timed timed) throws IOException {
        if (isFull) {
            leftOut++;
            return;
        }
        byte[] line = line(timed);
        if (bytes + line.length > limit - LAST_LINES) {
            isFull = true;
            leftOut++;
            out.write(line(new Timed(timed.time, SELF, new Entry.Full(limit))));
            return;
        }
        out.write(line);
        bytes += line.length;
    }

    private byte[] line(Timed timed) throws IOException {
        return ((isJson ? json(timed) : text(timed)) + "\n").getBytes(StandardCharsets.UTF_8);
    }

    private void writeLost() throws IOException {
        long count = lost.getAndSet(0);
        if (count > 0) {
            write(new Timed(clock.instant(), SELF, new Entry.Lost(count)));
        }
    }

    private void writeLeftOut() throws IOException {
        if (leftOut > 0) {
            out.write(line(new Timed(clock.instant(), SELF, new Entry.LeftOut(leftOut))));
        }
    }

    private static String text(Timed timed) {
        String what =
                switch (timed.entry) {
                    case Entry.Begun() -> "begun";
                    case Entry.Started(long features) ->
                            "started, features 0x%x".formatted(features);
                    case Entry.Reset() -> "reset";
                    case Entry.Answered(IommuRequest request, Status status, String why) ->
                            "%s -> %s%s"
                                    .formatted(
                                            request,
                                            status == null ? "given back" : status,
                                            why.isEmpty() ? "" : ": " + why);
                    case Entry.Waits(IommuRequest request) -> request + " waits";
                    case Entry.Refused(Fault fault, String cause) ->
                            "fault: %s%s"
                                    .formatted(
                                            Machine.describe(fault),
                                            cause.isEmpty() ? "" : "; before: " + cause);
                    case Entry.FaultsLeftOut(long count) ->
                            "%d more accesses were refused, faster than they are told of"
                                    .formatted(count);
                    case Entry.Delivered(Fault fault) -> "event: " + Machine.describe(fault);
                    case Entry.Injected(String injected) -> "injected: " + injected;
                    case Entry.Lost(long count) ->
                            "%d entries are lost: more happened than could be written"
                                    .formatted(count);
                    case Entry.Full(long limit) ->
                            "the limit of %d bytes is reached: what follows is only counted"
                                    .formatted(limit);
                    case Entry.LeftOut(long count) ->
                            "%d entries came after the limit was reached".formatted(count);
                };
        return timed.time + " " + timed.who + " " + what;
    }

    private static String json(Timed timed) throws IOException {
        StringWriter text = new StringWriter();
        try (JsonGenerator json = DumpJson.FACTORY.createGenerator(text)) {
            json.writeStartObject();
            json.writeStringField("time", timed.time.toString());
            json.writeStringField("iommu", timed.who);
            switch (timed.entry) {
                case Entry.Begun() -> json.writeStringField("kind", "begun");
                case Entry.Started(long features) -> {
                    json.writeStringField("kind", "started");
                    json.writeStringField("features", DumpJson.hex(features));
                }
                case Entry.Reset() -> json.writeStringField("kind", "reset");
                case Entry.Answered(IommuRequest request, Status status, String why) -> {
                    json.writeStringField("kind", "request");
                    write(json, request);
                    json.writeStringField("status", status == null ? "" : status.name());
                    json.writeStringField("why", why);
                }
                case Entry.Waits(IommuRequest request) -> {
                    json.writeStringField("kind", "waits");
                    write(json, request);
                }
                case Entry.Refused(Fault fault, String cause) -> {
                    json.writeStringField("kind", "fault");
                    DumpJson.writeFault(json, fault);
                    json.writeStringField("before", cause);
                }
                case Entry.FaultsLeftOut(long count) -> {
                    json.writeStringField("kind", "faults left out");
                    json.writeNumberField("count", count);
                }
                case Entry.Delivered(Fault fault) -> {
                    json.writeStringField("kind", "event");
                    DumpJson.writeFault(json, fault);
                }
                case Entry.Injected(String what) -> {
                    json.writeStringField("kind", "injected");
                    json.writeStringField("what", what);
                }
                case Entry.Lost(long count) -> {
                    json.writeStringField("kind", "lost");
                    json.writeNumberField("count", count);
                }
                case Entry.Full(long limit) -> {
                    json.writeStringField("kind", "full");
                    json.writeNumberField("limit", limit);
                }
                case Entry.LeftOut(long count) -> {
                    json.writeStringField("kind", "left out");
                    json.writeNumberField("count", count);
                }
            }
            json.writeEndObject();
        }
        return text.toString();
    }

    private static void write(JsonGenerator json, IommuRequest request) throws IOException {
        json.writeStringField("type", request.type().name());
        switch (request) {
            case IommuRequest.Attach(int endpoint, int domain, int flags) -> {
                json.writeNumberField("endpoint", Integer.toUnsignedLong(endpoint));
                json.writeNumberField("domain", Integer.toUnsignedLong(domain));
                json.writeNumberField("flags", Integer.toUnsignedLong(flags));
            }
            case IommuRequest.Detach(int endpoint, int domain) -> {
                json.writeNumberField("endpoint", Integer.toUnsignedLong(endpoint));
                json.writeNumberField("domain", Integer.toUnsignedLong(domain));
            }
            case IommuRequest.Map(int domain, long first, long last, long output, int flags) -> {
                json.writeNumberField("domain", Integer.toUnsignedLong(domain));
                json.writeStringField("virt_start", DumpJson.hex(first));
                json.writeStringField("virt_end", DumpJson.hex(last));
                json.writeStringField("phys_start", DumpJson.hex(output));
                json.writeNumberField("flags", Integer.toUnsignedLong(flags));
            }
            case IommuRequest.Unmap(int domain, long first, long last) -> {
                json.writeNumberField("domain", Integer.toUnsignedLong(domain));
                json.writeStringField("virt_start", DumpJson.hex(first));
                json.writeStringField("virt_end", DumpJson.hex(last));
            }
            case IommuRequest.Probe(int endpoint) ->
                    json.writeNumberField("endpoint", Integer.toUnsignedLong(endpoint));
            case IommuRequest.AttachTable(
                            int endpoint,
                            int pasid,
                            int domain,
                            long root,
                            int width) -> {
                json.writeNumberField("endpoint", Integer.toUnsignedLong(endpoint));
                json.writeNumberField("pasid", pasid);
                json.writeNumberField("domain", Integer.toUnsignedLong(domain));
                json.writeStringField("table", DumpJson.hex(root));
                json.writeNumberField("width", Integer.toUnsignedLong(width));
            }
            case IommuRequest.Invalidate(int domain, int scope, long first, long pages) -> {
                json.writeNumberField("domain", Integer.toUnsignedLong(domain));
                json.writeNumberField("scope", scope);
                json.writeStringField("virt_start", DumpJson.hex(first));
                json.writeStringField("pages", DumpJson.hex(pages));
            }
            case IommuRequest.PageResponse(int endpoint, int pasid, int group, int code) -> {
                json.writeNumberField("endpoint", Integer.toUnsignedLong(endpoint));
                json.writeNumberField("pasid", pasid);
                json.writeNumberField("group", Integer.toUnsignedLong(group));
                json.writeNumberField("code", code);
            }
            case IommuRequest.Unknown(int head, long readable, long writable) -> {
                json.writeNumberField("head", head);
                json.writeNumberField("readable", readable);
                json.writeNumberField("writable", writable);
            }
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
