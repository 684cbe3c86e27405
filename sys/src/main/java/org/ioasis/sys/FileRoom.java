// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * How many descriptors of peers may be kept at a time. The process has a limit of them
 * (RLIMIT_NOFILE), and needs some to let anybody in, or to tell anybody anything. So what is kept
 * because a peer has sent it stops at half of that. Any thread.
 */
public final class FileRoom extends Room {
    /** What most systems allow a process at least. */
    private static final int USUAL = 1024;

    private static final String ROW = "Max open files";
    private static final FileRoom PROCESS =
            new FileRoom(limit(allowed(Path.of("/proc/self/limits"))));

    public FileRoom(int limit) {
        super(limit);
    }

    /** Of this process. */
    public static FileRoom ofProcess() {
        return PROCESS;
    }

    /** A descriptor that is kept, and its room until it is closed. Any thread. */
    public final class Kept {
        private final Fd fd;

        private Kept(Fd fd) {
            this.fd = fd;
        }

        public Fd fd() {
            return fd;
        }

        /** Once. */
        public void close() {
            fd.close();
            giveBack();
        }
    }

    /**
     * Keeps another descriptor of the same file.
     *
     * @throws ErrnoException EMFILE: there is no room, or the process can have no more of them
     */
    public Kept keep(Fd fd) throws ErrnoException {
        if (!take()) {
            throw new ErrnoException("dup", fd + ": no more are kept", Errno.EMFILE);
        }
        boolean isKept = false;
        try {
            Kept kept = new Kept(fd.duplicate());
            isKept = true;
            return kept;
        } finally {
            if (!isKept) {
                giveBack();
            }
        }
    }

    static int limit(int allowed) {
        return allowed / 2;
    }

    /** The soft limit, which a JVM raises when it starts. */
    static int allowed(Path limits) {
        try {
            String text = new String(Files.readAllBytes(limits), StandardCharsets.US_ASCII);
            for (String line : text.split("\n", -1)) {
                if (line.startsWith(ROW)) {
                    String soft = line.substring(ROW.length()).strip().split(" +", 2)[0];
                    // "unlimited" is no number, and no kernel allows that of files.
                    return (int) Math.min(Integer.MAX_VALUE, Long.parseLong(soft));
                }
            }
            return USUAL;
        } catch (IOException | NumberFormatException e) {
            return USUAL;
        }
    }
}
