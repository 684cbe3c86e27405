// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A line of {@code /proc/PID/maps}: what a process has at some addresses. Any thread.
 *
 * @param last inclusive
 * @param offset of the file at first
 * @param device of the file, as the line has it
 */
record MappedRange(
        long first,
        long last,
        boolean isReadable,
        boolean isWritable,
        boolean isShared,
        long offset,
        String device,
        long inode,
        String path) {

    /** Identity of a file that is mapped, whatever its name. */
    record FileKey(String device, long inode) {
        /** As {@code /proc/PID/maps} writes it: the kernel's own numbers, in hexadecimal. */
        static FileKey of(long device, long inode) {
            return new FileKey("%02x:%02x".formatted(device >>> 32, (int) device), inode);
        }
    }

    /**
     * Whether some other process than ours maps bytes of a file; of those whose mappings we may
     * see.
     */
    static boolean isMapped(FileKey file, long offset, long length) {
        long ours = ProcessHandle.current().pid();
        try (DirectoryStream<Path> all =
                Files.newDirectoryStream(
                        Path.of("/proc"), entry -> isNumber(entry.getFileName().toString()))) {
            for (Path entry : all) {
                int process = Integer.parseInt(entry.getFileName().toString());
                if (process != ours && isMapped(process, file, offset, length)) {
                    return true;
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return false;
    }

    private static boolean isMapped(int process, FileKey file, long offset, long length) {
        String inode = " " + file.inode() + " ";
        try (ProcessLines lines = open(process)) {
            for (String line = lines.next(); line != null; line = lines.next()) {
                if (line.contains(inode)) {
                    MappedRange range = parse(line);
                    if (range.key().equals(file) && range.touches(offset, length)) {
                        return true;
                    }
                }
            }
        } catch (IOException e) {
            // The process is gone, or we may not look.
        }
        return false;
    }

    private static boolean isNumber(String name) {
        return name.chars().allMatch(c -> c >= '0' && c <= '9');
    }

    static ProcessLines open(int process) throws IOException {
        return ProcessLines.open(process, "maps");
    }

    static MappedRange parse(String line) {
        int dash = line.indexOf('-');
        int at = line.indexOf(' ') + 1;
        int afterModes = line.indexOf(' ', at);
        int afterOffset = line.indexOf(' ', afterModes + 1);
        int afterDevice = line.indexOf(' ', afterOffset + 1);
        int afterInode = line.indexOf(' ', afterDevice + 1);
        int inodeEnd = afterInode < 0 ? line.length() : afterInode;
        return new MappedRange(
                Long.parseUnsignedLong(line, 0, dash, 16),
                Long.parseUnsignedLong(line, dash + 1, at - 1, 16) - 1,
                line.charAt(at) == 'r',
                line.charAt(at + 1) == 'w',
                line.charAt(at + 3) == 's',
                Long.parseUnsignedLong(line, afterModes + 1, afterOffset, 16),
                line.substring(afterOffset + 1, afterDevice),
                Long.parseUnsignedLong(line, afterDevice + 1, inodeEnd, 10),
                line.substring(inodeEnd).strip());
    }

    FileKey key() {
        return new FileKey(device, inode);
    }

    /** Pages of the kernel's own that nobody can hold. */
    boolean isSpecial() {
        return path.startsWith("[v");
    }

    /** Where in the file an address is. */
    long offsetOf(long address) {
        return offset + (address - first);
    }

    private boolean touches(long from, long length) {
        return offset < from + length && offset + (last - first) >= from;
    }

    /** Whether a piece of the file is mapped here. */
    boolean hasOffset(long from, long length) {
        return from >= offset
                && length - 1 <= last - first
                && from - offset <= last - first - (length - 1);
    }

    /** Where that piece is. */
    long addressOf(long from) {
        return first + (from - offset);
    }
}
