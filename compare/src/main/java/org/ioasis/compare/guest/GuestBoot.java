// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.guest;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.ioasis.guestkit.BoundedLines;
import org.ioasis.vm.GuestEvent;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.QemuProcess;
import org.jspecify.annotations.Nullable;

/**
 * One boot of the guest: its cells are measured, and its data is looked at. The thread that runs
 * it; another reads what the guest says and takes the counters at that moment.
 */
final class GuestBoot {
    private static final long READER_LIMIT_MILLIS = 5000;
    private static final int OTHER_LINES = 20;

    private final GuestBench bench;
    private final @Nullable ServerProcess server;
    private final QemuProcess.@Nullable Starter starter;

    private final Map<String, GuestFigure> figures = new LinkedHashMap<>();
    private final List<String> hashes = new ArrayList<>();
    private final List<String> others = new ArrayList<>();
    private boolean isVerified;

    private @Nullable FioCell current;
    private Counters countersBefore = new Counters(Map.of());
    private ProcessCost costBefore = new ProcessCost(Map.of(), Map.of());
    private long measuredPid;

    /** With devices of QEMU's own. */
    GuestBoot(GuestBench bench) {
        this(bench, null, null);
    }

    /** With devices of another process. */
    GuestBoot(GuestBench bench, ServerProcess server) {
        this(bench, server, null);
    }

    /** With devices of this process, which serves QEMU's calls. */
    GuestBoot(GuestBench bench, QemuProcess.Starter starter) {
        this(bench, null, starter);
    }

    private GuestBoot(
            GuestBench bench,
            @Nullable ServerProcess server,
            QemuProcess.@Nullable Starter starter) {
        this.bench = bench;
        this.server = server;
        this.starter = starter;
    }

    /**
     * Boots, measures and looks at the data.
     *
     * @param output the socket that the command's output comes to
     * @throws IOException the guest does not end well, or the data is not what it should be
     */
    Map<String, GuestFigure> run(QemuCommand command, Path output, Duration limit)
            throws IOException, InterruptedException {
        Files.deleteIfExists(output);
        List<String> console = new ArrayList<>();
        StringBuilder hung = new StringBuilder();
        QemuProcess.End end;
        Thread reader;
        try (ServerSocketChannel listener =
                        ServerSocketChannel.open(StandardProtocolFamily.UNIX)
                                .bind(UnixDomainSocketAddress.of(output));
                QemuProcess qemu = start(command, event -> keep(console, event))) {
            measuredPid = starter == null ? qemu.pid() : ProcessHandle.current().pid();
            reader =
                    Thread.ofPlatform()
                            .daemon()
                            .name("output of the guest")
                            .start(() -> read(listener));
            end = qemu.await(limit, () -> hung.append(server == null ? "" : server.state()));
        } finally {
            Files.deleteIfExists(output);
        }
        // The guest's last words are in the socket, or nobody has come to it.
        reader.join(READER_LIMIT_MILLIS);
        if (!(end instanceof QemuProcess.End.Exited(int code)) || code != 0) {
            throw failed("QEMU ended with " + end + "\n" + hung, console);
        }
        judge(console);
        return figures;
    }

    private QemuProcess start(QemuCommand command, Consumer<GuestEvent> listener)
            throws IOException {
        QemuProcess.Starter by = starter;
        return by == null
                ? QemuProcess.start(command, bench.host(), bench.cleanup(), listener)
                : QemuProcess.start(command, bench.host(), bench.cleanup(), listener, by);
    }

    private static void keep(List<String> console, GuestEvent event) {
        synchronized (console) {
            if (console.size() < OTHER_LINES) {
                console.add(event.toString());
            }
        }
    }

    private IOException failed(String what, List<String> console) {
        synchronized (console) {
            return new IOException(
                    "%s%nthe guest said:%n  %s%n  %s%s"
                            .formatted(
                                    what,
                                    String.join("\n  ", console),
                                    String.join("\n  ", others),
                                    server == null ? "" : "\nthe server:\n  " + server.said()));
        }
    }

    private void judge(List<String> console) throws IOException {
        if (figures.size() != bench.cells().size()) {
            throw failed("only %d cells were measured".formatted(figures.size()), console);
        }
        if (!isVerified) {
            throw failed("what fio wrote does not read back", console);
        }
        if (hashes.size() != 2 || !hashes.stream().allMatch(bench.seedHash()::equals)) {
            throw failed(
                    "the guest read a part of the disk with %s, the host wrote %s"
                            .formatted(hashes, bench.seedHash()),
                    console);
        }
    }

    private void read(ServerSocketChannel listener) {
        try (SocketChannel channel = listener.accept()) {
            BoundedLines.read(
                    Channels.newInputStream(channel),
                    line -> {
                        try {
                            hear(FioCell.understand(line));
                        } catch (IOException e) {
                            throw new UncheckedIOException(e);
                        }
                    });
        } catch (UncheckedIOException | IOException e) {
            others.add(e.toString());
        }
    }

    private void hear(FioCell.Said said) throws IOException {
        switch (said) {
            case FioCell.Said.Begun(String name) -> {
                current = FioCell.named(name).orElse(null);
                costBefore = cost();
                if (server != null) {
                    countersBefore = server.counters();
                }
            }
            case FioCell.Said.Measured measured -> measured(measured);
            case FioCell.Said.Hash(String hex) -> {
                if (hashes.size() < 2) {
                    hashes.add(hex);
                }
            }
            case FioCell.Said.Verified(boolean isEqual) -> isVerified = isEqual;
            case FioCell.Said.Other(String line) -> {
                if (others.size() < OTHER_LINES) {
                    others.add(line);
                }
            }
        }
    }

    private void measured(FioCell.Said.Measured measured) throws IOException {
        FioCell cell = current;
        if (cell == null) {
            return;
        }
        current = null;
        ProcessCost costAfter = cost();
        Map<String, Long> counts = new TreeMap<>();
        if (server != null) {
            Counters after = server.counters();
            counts.put("requests", after.since(countersBefore, Counters.REQUESTS));
            counts.put("kicks", after.since(countersBefore, Counters.KICKS));
            counts.put("interrupts", after.since(countersBefore, Counters.INTERRUPTS));
            counts.put("waits", after.since(countersBefore, Counters.WAITS));
            counts.put("sleeps", after.since(countersBefore, Counters.SLEEPS));
            counts.put("receives", after.since(countersBefore, Counters.RECEIVES));
            counts.put("signals", after.since(countersBefore, Counters.SIGNALS));
            counts.put("calls", after.systemCallsSince(countersBefore));
            counts.put("wakeups", costAfter.wakeupsSince(costBefore));
        }
        figures.put(
                cell.name(),
                new GuestFigure(
                        measured.perSecond(),
                        (double) measured.bytes() / cell.blockBytes(),
                        measured.bytes(),
                        counts,
                        costAfter.secondsSince(costBefore)));
    }

    private ProcessCost cost() throws IOException {
        return server != null ? server.cost() : ProcessCost.of(measuredPid);
    }
}
