// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.ioasis.guestkit.BoundedLines;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Qemu;
import org.ioasis.vm.Workspace;

/**
 * A QEMU that runs no guest: a q35 machine driven by qtest, whose memory is a file that is mapped
 * here too, so that rings and buffers need no command. One thread; another reads QEMU's error
 * output for as long as it lives.
 */
final class QtestVmm implements AutoCloseable {
    static final long RAM_BYTES = 32L << 20;

    private static final Duration PATIENCE = Duration.ofSeconds(20);
    private static final int ERROR_LINES = 20;
    private static final long READER_LIMIT_MILLIS = 5000;

    private final Cleanup cleanup;
    private final Process process;
    private final Arena arena;
    private final MemorySegment ram;
    private final Path memory;
    private final Thread errorReader;
    private final Deque<String> errors = new ArrayDeque<>();
    private final QtestClient qtest;

    /**
     * Starts QEMU.
     *
     * @param name of its files in the workspace
     * @param devices values of {@code -device}
     */
    QtestVmm(
            Qemu qemu,
            Host host,
            Cleanup cleanup,
            Workspace workspace,
            String name,
            List<String> devices)
            throws IOException {
        this.cleanup = cleanup;
        memory = workspace.file(name + ".ram");
        Path socket = workspace.file(name + ".qtest");
        try (FileChannel file =
                        FileChannel.open(
                                memory,
                                StandardOpenOption.CREATE_NEW,
                                StandardOpenOption.READ,
                                StandardOpenOption.WRITE);
                ServerSocketChannel listener =
                        ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            file.write(ByteBuffer.allocate(1), RAM_BYTES - 1);
            listener.bind(UnixDomainSocketAddress.of(socket));
            ProcessBuilder builder =
                    new ProcessBuilder(words(qemu, socket, memory, devices))
                            .redirectInput(Path.of("/dev/null").toFile())
                            .redirectOutput(ProcessBuilder.Redirect.DISCARD);
            builder.environment().clear();
            builder.environment().putAll(host.childEnvironment());
            builder.environment().putAll(qemu.environment());
            process = cleanup.start(builder);
            errorReader = Thread.ofPlatform().daemon().name("qemu errors").start(this::readErrors);
            arena = Arena.ofShared();
            boolean isComplete = false;
            try {
                ram = file.map(FileChannel.MapMode.READ_WRITE, 0, RAM_BYTES, arena);
                qtest = QtestClient.accept(listener, PATIENCE, process::isAlive);
                isComplete = true;
            } catch (IOException e) {
                end();
                throw new IOException(e.getMessage() + said(), e);
            } finally {
                if (!isComplete) {
                    arena.close();
                }
            }
        }
    }

    private static List<String> words(Qemu qemu, Path socket, Path memory, List<String> devices) {
        List<String> words = new ArrayList<>(qemu.command());
        words.addAll(
                List.of("-no-user-config", "-nodefaults", "-display", "none", "-monitor", "none"));
        words.addAll(List.of("-machine", "q35,memory-backend=mem", "-accel", "qtest"));
        // Without a log of its own, qtest writes every command to standard error.
        words.addAll(List.of("-qtest", "unix:" + socket, "-qtest-log", "/dev/null"));
        String size = (RAM_BYTES >> 20) + "M";
        words.addAll(
                List.of(
                        "-object",
                        "memory-backend-file,id=mem,share=on,size=" + size + ",mem-path=" + memory,
                        "-m",
                        size));
        for (String device : devices) {
            words.addAll(List.of("-device", device));
        }
        return words;
    }

    private void readErrors() {
        try {
            BoundedLines.read(
                    process.getErrorStream(),
                    text -> {
                        synchronized (errors) {
                            if (errors.size() == ERROR_LINES) {
                                errors.removeFirst();
                            }
                            errors.addLast(text);
                        }
                    });
        } catch (IOException closed) {
            // QEMU was killed; what it said before is kept.
        }
    }

    /** What QEMU wrote to its error output, for a message. */
    String said() {
        synchronized (errors) {
            return errors.isEmpty() ? "" : "; it said: " + String.join(" / ", errors);
        }
    }

    QtestClient qtest() {
        return qtest;
    }

    /** Guest memory from address 0 on. */
    MemorySegment ram() {
        return ram;
    }

    private void end() {
        cleanup.kill(process);
        try {
            errorReader.join(READER_LIMIT_MILLIS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Kills QEMU; its memory is gone. */
    @Override
    public void close() throws IOException {
        try {
            qtest.close();
        } finally {
            end();
            arena.close();
            Files.delete(memory);
        }
    }
}
