// SPDX-License-Identifier: Apache-2.0
import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * Runs a command in its own place with SIGHUP, SIGINT and SIGTERM as a terminal leaves them: what
 * env --default-signal does where env can. A shell cannot: what was ignored when it began stays
 * so. For the shell tests. Main thread.
 */
final class DefaultSignals {
    /** SIGHUP, SIGINT and SIGTERM have these numbers on every Linux. */
    private static final int[] SIGNALS = {1, 2, 15};

    private DefaultSignals() {}

    private static MethodHandle call(String name, FunctionDescriptor type) {
        Linker linker = Linker.nativeLinker();
        return linker.downcallHandle(linker.defaultLookup().find(name).orElseThrow(), type);
    }

    public static void main(String[] command) throws Throwable {
        MethodHandle signal = call("signal", FunctionDescriptor.of(ADDRESS, JAVA_INT, ADDRESS));
        for (int number : SIGNALS) {
            // The null pointer is SIG_DFL.
            MemorySegment _ = (MemorySegment) signal.invokeExact(number, MemorySegment.NULL);
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment words = arena.allocate(ADDRESS, command.length + 1);
            for (int i = 0; i < command.length; i++) {
                words.setAtIndex(ADDRESS, i, arena.allocateFrom(command[i]));
            }
            MethodHandle execvp = call("execvp", FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS));
            int _ = (int) execvp.invokeExact(words.getAtIndex(ADDRESS, 0), words);
        }
        System.err.println("cannot run " + command[0]);
        System.exit(127);
    }
}
