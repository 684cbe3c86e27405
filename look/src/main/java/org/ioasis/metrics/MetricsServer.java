// SPDX-License-Identifier: Apache-2.0
package org.ioasis.metrics;

import java.io.IOException;
import java.util.List;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
import org.ioasis.live.MachineView;
import org.ioasis.machine.Machine;
import org.ioasis.web.WebAnswer;
import org.ioasis.web.WebCounts;
import org.ioasis.web.WebRequest;
import org.ioasis.web.WebServer;
import org.jspecify.annotations.Nullable;

/**
 * Answers who asks for the metrics of machines. Each machine is looked at on its loop; however
 * often it is asked for, no more often than a few times a second. Started and closed by one thread;
 * answers on those of its HTTP server.
 */
public final class MetricsServer implements AutoCloseable {
    /** Where the metrics are, as every exporter has them. */
    public static final String PATH = "/metrics";

    /** Of the text format, which is what is understood by all that scrape. */
    static final String TYPE = "text/plain; version=0.0.4; charset=utf-8";

    /** So long an answer is given again. */
    static final long AGE_NANOS = 250_000_000L;

    private static final WebCounts NO_COUNTS = new WebCounts(0, 0, 0, 0, 0, 0, 0);

    private final Supplier<List<MachineView>> views;
    private final LongSupplier nanoTime;
    private volatile @Nullable WebServer web;

    // Guarded by this: who asks while another looks waits for what that sees.
    private String text = "";
    private long takenAt;
    private boolean isTaken;

    MetricsServer(Supplier<List<MachineView>> views, LongSupplier nanoTime) {
        this.views = views;
        this.nanoTime = nanoTime;
    }

    /**
     * Answers from now on, on the loopback interface.
     *
     * @param port 0: one that is free
     * @throws IOException the port cannot be had
     */
    public static MetricsServer start(int port, List<Machine> machines) throws IOException {
        List<Machine> all = List.copyOf(machines);
        MetricsServer metrics =
                new MetricsServer(
                        () -> all.stream().map(machine -> MachineView.of(machine, 0)).toList(),
                        System::nanoTime);
        metrics.web = WebServer.start("metrics", port, null, metrics::answer);
        return metrics;
    }

    /** For Prometheus, and for people. */
    public String address() {
        WebServer started = web;
        return (started == null ? "/" : started.address()) + PATH.substring(1);
    }

    WebAnswer answer(WebRequest request) {
        if (!request.path().equals(PATH)) {
            return WebAnswer.text(404, "metrics are at " + PATH);
        }
        if (!request.method().equals("GET")) {
            return WebAnswer.text(405, "metrics are only read");
        }
        return new WebAnswer.Whole(200, TYPE, text());
    }

    private synchronized String text() {
        long now = nanoTime.getAsLong();
        if (!isTaken || now - takenAt >= AGE_NANOS) {
            WebServer started = web;
            WebCounts counts = started == null ? NO_COUNTS : started.counts();
            text = Exposition.of(views.get(), counts);
            takenAt = nanoTime.getAsLong();
            isTaken = true;
        }
        return text;
    }

    /** Answers nobody any more. Twice is fine. */
    @Override
    public void close() {
        WebServer started = web;
        if (started != null) {
            started.close();
        }
    }
}
