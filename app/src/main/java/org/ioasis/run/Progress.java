// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.PrintStream;
import org.ioasis.vm.Terminal;
import org.jspecify.annotations.Nullable;

/**
 * Tells a person what is going on: a line for each thing that begins, and on a terminal one line
 * that is renewed in place. Any thread.
 */
public final class Progress {
    private static final int WIDTH = 100;

    private final PrintStream out;
    private final boolean isTerminal;
    private boolean hasStatus;

    /**
     * @param isTerminal {@code out} shows a line that is overwritten
     */
    public Progress(PrintStream out, boolean isTerminal) {
        this.out = out;
        this.isTerminal = isTerminal;
    }

    /** To standard error, where standard output stays free for results. */
    public static Progress standard() {
        return new Progress(System.err, isTerminal(System.getenv("TERM")));
    }

    // Java cannot tell for standard error alone; a console means that a person sits there.
    private static boolean isTerminal(@Nullable String term) {
        return Terminal.isTerminal() && term != null && !term.equals("dumb");
    }

    /** Something has begun or happened. */
    public synchronized void say(String line) {
        clear();
        out.println("ioasis: " + line);
        out.flush();
    }

    /** How it stands now; replaces what stood before. Nothing where there is no terminal. */
    public synchronized void status(String line) {
        if (isTerminal) {
            String shown = line.length() > WIDTH ? line.substring(0, WIDTH) : line;
            out.print("\r" + shown + " ".repeat(WIDTH - shown.length()) + "\r" + shown);
            out.flush();
            hasStatus = true;
        }
    }

    private void clear() {
        if (hasStatus) {
            out.print("\r" + " ".repeat(WIDTH) + "\r");
            hasStatus = false;
        }
    }
}
