// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * What this process does with signals, as far as Java has no word for it: signal(2) with the two
 * dispositions that need no code. Any thread.
 */
public final class Signals {
    public static final int SIGINT = 2;
    public static final int SIGQUIT = 3;

    private static final int PR_SET_DUMPABLE = 4;
    private static final long SIG_DFL = 0;
    private static final long SIG_IGN = 1;
    private static final int STANDARD_SIGNALS = 64;

    /** Signals that were ignored before we changed anything; bit 0 is signal 1. */
    private static final long IGNORED_AT_START = readIgnored();

    private static final MethodHandle SIGNAL =
            Linux.link("signal", FunctionDescriptor.of(ADDRESS, JAVA_INT, JAVA_LONG));
    private static final MethodHandle KILL =
            Linux.link("kill", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle PRCTL =
            Linux.linkVariadic("prctl", 1, FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG));

    private Signals() {}

    /** Whether the signal was ignored when this process began, as nohup(1) arranges it. */
    public static boolean wasIgnored(int number) {
        return (IGNORED_AT_START >>> (number - 1) & 1) != 0;
    }

    /** From now on the signal has no effect on this process. */
    public static void ignore(int number) {
        set(number, SIG_IGN);
    }

    /**
     * Ends this process by a signal, so that whoever waits for it sees that. Returns if the signal
     * does not end a process by itself. No core of ours is written: it would not be of the program
     * that the signal was for.
     */
    public static void die(int number) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            // SAFETY: plain numbers.
            int _ = (int) PRCTL.invokeExact(errno, PR_SET_DUMPABLE, 0L);
            set(number, SIG_DFL);
            int _ = (int) KILL.invokeExact(errno, (int) ProcessHandle.current().pid(), number);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /**
     * Takes out of a sigset_t what a program that we start shall go on ignoring, as it would
     * without us (nohup(1)).
     */
    static void keepIgnored(MemorySegment set) {
        for (int i = 0; i < STANDARD_SIGNALS; i++) {
            if (wasIgnored(i + 1)) {
                byte bits = set.get(JAVA_BYTE, i / 8);
                set.set(JAVA_BYTE, i / 8, (byte) (bits & ~(1 << i % 8)));
            }
        }
    }

    private static void set(int number, long disposition) {
        try (Arena arena = Arena.ofConfined()) {
            // SAFETY: both dispositions are numbers, no code of ours is called.
            MemorySegment _ =
                    (MemorySegment)
                            SIGNAL.invokeExact(arena.allocate(Linux.ERRNO), number, disposition);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private static long readIgnored() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("SigIgn:")) {
                    return Long.parseUnsignedLong(line.substring(7).strip(), 16);
                }
            }
        } catch (IOException e) {
            // Without /proc nothing of this works, and whoever starts a program finds out.
        }
        return 0;
    }
}
