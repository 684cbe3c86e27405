// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.stream.Stream;

/**
 * The memory of a QEMU that this process has started, as the host sees it: by the descriptor of its
 * memfd, past everything that is being tested. Guest-physical addresses below 2 GiB. One thread.
 */
final class GuestRam implements AutoCloseable {
    private final FileChannel memory;

    private GuestRam(FileChannel memory) {
        this.memory = memory;
    }

    static GuestRam ofOnlyQemu() throws IOException {
        List<ProcessHandle> children = ProcessHandle.current().children().toList();
        for (ProcessHandle child : children) {
            try (Stream<Path> fds = Files.list(Path.of("/proc", "" + child.pid(), "fd"))) {
                for (Path fd : fds.toList()) {
                    if (isMemory(fd)) {
                        return new GuestRam(
                                FileChannel.open(
                                        fd, StandardOpenOption.READ, StandardOpenOption.WRITE));
                    }
                }
            }
        }
        throw new AssertionError("no QEMU with a memfd among " + children);
    }

    private static boolean isMemory(Path fd) {
        try {
            return Files.readSymbolicLink(fd).toString().startsWith("/memfd:memory-backend");
        } catch (IOException gone) {
            return false;
        }
    }

    byte[] read(long gpa, int length) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(length);
        int n;
        do {
            n = memory.read(bytes, gpa + bytes.position());
        } while (n > 0);
        if (bytes.hasRemaining()) {
            throw new IOException("the guest's memory ends at " + (gpa + bytes.position()));
        }
        return bytes.array();
    }

    void write(long gpa, byte[] content) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(content);
        while (bytes.hasRemaining()) {
            memory.write(bytes, gpa + bytes.position());
        }
    }

    @Override
    public void close() throws IOException {
        memory.close();
    }
}
