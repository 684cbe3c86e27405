// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * A child of this process that Java does not know of: waitid(2), kill(2). Its number stays its own
 * until {@link #await} has returned. Any thread.
 */
public final class ChildProcess {
    private static final int P_PID = 1;
    private static final int WEXITED = 4;
    private static final int WNOWAIT = 0x0100_0000;
    private static final int SIZEOF_SIGINFO = 128;
    private static final int SI_CODE = 8;
    private static final int SI_STATUS = 24;
    private static final int CLD_EXITED = 1;

    private static final MethodHandle WAITID =
            Linux.link(
                    "waitid",
                    FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT));
    private static final MethodHandle KILL =
            Linux.link("kill", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));

    private final int pid;
    private boolean isCollected;

    /** Takes over a child that was just made. */
    public ChildProcess(int pid) {
        this.pid = pid;
    }

    /** How a process ended: by itself with a code, or by a signal. */
    public sealed interface End {
        /** It called exit(2). */
        record Exit(int code) implements End {}

        /** A signal killed it. */
        record Signal(int number) implements End {}
    }

    public int pid() {
        return pid;
    }

    /** Waits for its end and collects it. Once. */
    public End await() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            MemorySegment info = arena.allocate(SIZEOF_SIGINFO, 8);
            // Not collected yet: until then nobody else can have its number, and kill() is safe.
            waitid(errno, info, WEXITED | WNOWAIT);
            synchronized (this) {
                isCollected = true;
                waitid(errno, info, WEXITED);
            }
            int status = info.get(JAVA_INT, SI_STATUS);
            return info.get(JAVA_INT, SI_CODE) == CLD_EXITED
                    ? new End.Exit(status)
                    : new End.Signal(status);
        }
    }

    /** Sends it a signal. Does nothing once it was collected. */
    public synchronized void signal(int number) {
        if (isCollected) {
            return;
        }
        try (Arena arena = Arena.ofConfined()) {
            // SAFETY: plain ints. A zombie takes signals too.
            int _ = (int) KILL.invokeExact(arena.allocate(Linux.ERRNO), pid, number);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private void waitid(MemorySegment errno, MemorySegment info, int options) {
        try {
            int result;
            do {
                // SAFETY: info has the size of siginfo_t.
                result =
                        Linux.result(
                                (int) WAITID.invokeExact(errno, P_PID, pid, info, options), errno);
            } while (result == -Errno.EINTR);
            if (result < 0) {
                throw new IllegalStateException("waitid " + pid + ": " + Errno.name(-result));
            }
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }
}
