// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.ioasis.program.ProgramRun;
import org.ioasis.sys.Signals;

/**
 * Signals that are sent to this process are the program's. Those that a terminal sends go to its
 * whole foreground group, the program included: they are not sent twice. Called on the main thread;
 * signals come on the JVM's own.
 */
final class SignalForwarder {
    private static final List<String> FORWARDED = List.of("HUP", "INT", "TERM", "USR1");

    private SignalForwarder() {}

    static void forwardTo(ProgramRun program) {
        // The JVM would print the state of its threads.
        Signals.ignore(Signals.SIGQUIT);
        SignalHandlers handlers = new SignalHandlers();
        for (String name : FORWARDED) {
            if (!Signals.wasIgnored(handlers.number(name))) {
                handlers.handle(name, number -> forward(program, number));
            }
        }
    }

    private static void forward(ProgramRun program, int number) {
        if (number != Signals.SIGINT || !isForeground()) {
            program.signal(number);
        }
    }

    /** Whether a terminal sends its signals to us: proc(5), the fields behind the name in stat. */
    private static boolean isForeground() {
        try {
            String stat = Files.readString(Path.of("/proc/self/stat"));
            String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
            int group = Integer.parseInt(fields[2]);
            int terminalGroup = Integer.parseInt(fields[5]);
            return group == terminalGroup;
        } catch (IOException e) {
            return false;
        }
    }
}
