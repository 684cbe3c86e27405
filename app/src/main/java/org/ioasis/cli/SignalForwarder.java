// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.lang.reflect.Proxy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.ioasis.program.ProgramRun;
import org.ioasis.sys.Signals;

/**
 * Signals that are sent to this process are the program's. Those that a terminal sends go to its
 * whole foreground group, the program included: they are not sent twice. Called on the main thread;
 * signals come on the JVM's own.
 *
 * <p>Java's way to hear of signals is in a package that the compiler warns of whoever names it, so
 * it is used by reflection.
 */
final class SignalForwarder {
    private static final List<String> FORWARDED = List.of("HUP", "INT", "TERM", "USR1");

    private SignalForwarder() {}

    static void forwardTo(ProgramRun program) {
        // The JVM would print the state of its threads.
        Signals.ignore(Signals.SIGQUIT);
        try {
            Class<?> signal = Class.forName("sun.misc.Signal");
            Class<?> handler = Class.forName("sun.misc.SignalHandler");
            Object forwards =
                    Proxy.newProxyInstance(
                            handler.getClassLoader(),
                            new Class<?>[] {handler},
                            (_, method, arguments) -> {
                                if (method.getName().equals("handle")) {
                                    forward(
                                            program,
                                            (int)
                                                    signal.getMethod("getNumber")
                                                            .invoke(arguments[0]));
                                }
                                return null;
                            });
            for (String name : FORWARDED) {
                Object one = signal.getConstructor(String.class).newInstance(name);
                int number = (int) signal.getMethod("getNumber").invoke(one);
                if (!Signals.wasIgnored(number)) {
                    signal.getMethod("handle", signal, handler).invoke(null, one, forwards);
                }
            }
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("this JDK has no sun.misc.Signal", e);
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
