// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import java.util.concurrent.TimeUnit;
import org.ioasis.loop.EventHandler;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.memory.Dma;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.virtqueue.RingFormat;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/**
 * W9: the requests of W2 through our virtio-iommu device and its queue; by one thread that is
 * driver and device in turn, or with a device that sleeps until it is kicked.
 */
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@State(Scope.Benchmark)
public class RequestBenchmarks {
    private static final int WINDOW = 256;
    private static final int BATCH_MAX = 64;
    private static final int PAIRS = 300_000;
    private static final int PAIRS_ONE_BY_ONE = 20_000;
    private static final int EDGES = Epoll.IN | Epoll.EDGE;

    /** Requests per kick. */
    @Param("64")
    public int batch;

    /** How the queue lies in memory. */
    @Param("SPLIT")
    public RingFormat ring = RingFormat.SPLIT;

    private final Engine engine = new Engine();
    private final Dma rings = engine.directDma();
    private Trace trace = new Trace(0, 0);

    @Setup
    public void readTrace() {
        trace = new Trace(WINDOW, WINDOW + PAIRS);
    }

    @TearDown
    public void close() {
        engine.close();
    }

    /** With the window mapped, through the queue: that also makes what the device keeps. */
    private RequestQueue fresh() {
        engine.renew();
        RequestQueue queue = new RequestQueue(engine, rings, ring);
        int waiting = 0;
        for (int i = 0; i < WINDOW; i++) {
            waiting++;
            queue.putMap(trace.first[i], trace.last[i], trace.gpa[i]);
            if (waiting == BATCH_MAX) {
                queue.expose();
                queue.serve();
                waiting -= queue.reap();
            }
        }
        return queue;
    }

    /** Puts the two requests of step {@code i} of the trace, the UNMAP if {@code half} is 0. */
    private void put(RequestQueue queue, int i, int half) {
        if (half == 0) {
            queue.putUnmap(trace.first[i - WINDOW], trace.last[i - WINDOW]);
        } else {
            queue.putMap(trace.first[i], trace.last[i], trace.gpa[i]);
        }
    }

    @Benchmark
    public void w9Requests(Meter meter) {
        RequestQueue queue = fresh();
        meter.begin();
        int waiting = 0;
        for (int i = WINDOW; i < WINDOW + PAIRS; i++) {
            for (int half = 0; half < 2; half++) {
                put(queue, i, half);
                waiting++;
                if (waiting == batch) {
                    queue.expose();
                    queue.serve();
                    waiting -= queue.reap();
                }
            }
        }
        queue.expose();
        queue.serve();
        waiting -= queue.reap();
        meter.end(2L * PAIRS);
        if (waiting != 0) {
            throw new IllegalStateException(waiting + " requests without an answer");
        }
    }

    /**
     * Wall time, from the first request to the last answer. The device is on a machine's loop,
     * which looks at no rings; the driver waits as that loop does.
     */
    @Benchmark
    public void w9EventFd(MixedBenchmarks.Meters meters) throws ErrnoException {
        RequestQueue queue = fresh();
        int pairs = batch == 1 ? PAIRS_ONE_BY_ONE : PAIRS;
        try (EventFd kick = EventFd.create();
                EventFd call = EventFd.create();
                Epoll called = Epoll.create();
                EventLoop loop =
                        new EventLoop(
                                "device",
                                Polled.NOTHING,
                                System::nanoTime,
                                IdlePolicy.EVENT_DRIVEN)) {
            loop.register(kick.fd(), EDGES, new Kicked(queue, call));
            called.add(call.fd(), EDGES, 0);
            loop.start();
            long begin = System.nanoTime();
            int waiting = 0;
            for (int i = WINDOW; i < WINDOW + pairs; i++) {
                for (int half = 0; half < 2; half++) {
                    put(queue, i, half);
                    waiting++;
                    if (waiting == batch || (half == 1 && i == WINDOW + pairs - 1)) {
                        queue.expose();
                        kick.signal();
                        await(called);
                        waiting -= queue.reap();
                        if (waiting != 0) {
                            throw new IllegalStateException("called without all answers");
                        }
                    }
                }
            }
            meters.mapNanos += System.nanoTime() - begin;
            meters.mapOperations += 2L * pairs;
        }
    }

    /** A kick is an edge, as where a front end of vhost-user kicks, and a call is one. */
    private record Kicked(RequestQueue queue, EventFd call) implements EventHandler {
        @Override
        public void ready(int events) {
            int before = queue.interrupts();
            queue.serve();
            if (queue.interrupts() != before) {
                call.signal();
            }
        }

        @Override
        public void failed(Throwable cause) {
            // The loop has logged it. The driver finds no answer.
            call.signal();
        }
    }

    private static void await(Epoll epoll) {
        int ready;
        do {
            ready = epoll.await(-1);
        } while (ready == 0);
    }
}
