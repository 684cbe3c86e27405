// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.ioasis.guestkit.Cleanup;
import org.jspecify.annotations.Nullable;

/**
 * The user's terminal while it is the guest's console: each key goes to the guest at once, and
 * Ctrl-A x ends the guest (Ctrl-A Ctrl-A sends one Ctrl-A). The terminal's settings are put back by
 * {@link #close} and by the end of the JVM. Where standard input is no terminal, it is copied, and
 * its end is a Ctrl-D.
 *
 * <p>Made and closed by one thread; has one of its own that reads what is typed.
 */
public final class Terminal implements AutoCloseable {
    private static final Path DEVICE = Path.of("/dev/tty");
    private static final int CTRL_A = 1;
    private static final int CTRL_D = 4;
    private static final long STTY_SECONDS = 5;

    private final InputStream in;
    private final OutputStream out;
    private final @Nullable String settings;
    private final CountDownLatch isGuestListening = new CountDownLatch(1);

    private Terminal(InputStream in, OutputStream out, @Nullable String settings) {
        this.in = in;
        this.out = out;
        this.settings = settings;
    }

    /**
     * Takes over standard input and output.
     *
     * @throws IOException the terminal's settings cannot be read or changed
     */
    public static Terminal open(Cleanup cleanup) throws IOException {
        if (!isTerminal()) {
            return new Terminal(System.in, System.out, null);
        }
        Terminal terminal = new Terminal(System.in, System.out, stty("-g").strip());
        cleanup.add(terminal::close);
        // Output stays as it is: lines of ours are ended as usual.
        stty("-icanon", "-echo", "-isig", "-ixon", "-icrnl", "min", "1", "time", "0");
        return terminal;
    }

    /** True if a person sits at standard input and output. Any thread. */
    // Null, in spite of the warning, where the JVM's provider of consoles finds no terminal.
    @SuppressWarnings("SystemConsoleNull")
    public static boolean isTerminal() {
        return System.console() != null && System.console().isTerminal();
    }

    /** For tests: no terminal, but streams. */
    static Terminal of(InputStream in, OutputStream out) {
        return new Terminal(in, out, null);
    }

    private static String stty(String... arguments) throws IOException {
        List<String> words = new ArrayList<>(List.of("stty"));
        words.addAll(List.of(arguments));
        Process stty =
                new ProcessBuilder(words)
                        .redirectInput(DEVICE.toFile())
                        .redirectErrorStream(true)
                        .start();
        String said = new String(stty.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        try {
            if (!stty.waitFor(STTY_SECONDS, TimeUnit.SECONDS) || stty.exitValue() != 0) {
                throw new IOException("stty " + String.join(" ", arguments) + ": " + said.strip());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while stty ran", e);
        }
        return said;
    }

    /** The same stream; what is read from it is shown on the terminal. */
    InputStream showing(InputStream console) {
        return new InputStream() {
            @Override
            public int read() throws IOException {
                byte[] one = new byte[1];
                return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
            }

            @Override
            public int read(byte[] buffer, int offset, int length) throws IOException {
                int n = console.read(buffer, offset, length);
                if (n > 0) {
                    out.write(buffer, offset, n);
                    out.flush();
                }
                return n;
            }
        };
    }

    /** Sends what is typed to {@code guest} from now on; {@code end} runs at Ctrl-A x. */
    void typeInto(OutputStream guest, Runnable end) {
        Thread.ofPlatform().daemon().name("terminal").start(() -> type(guest, end));
    }

    /** Until then what comes from a file is held back: a console that is not open drops it. */
    public void guestIsListening() {
        isGuestListening.countDown();
    }

    private void type(OutputStream guest, Runnable end) {
        try (guest) {
            if (settings == null) {
                isGuestListening.await();
            }
            boolean isEscaped = false;
            for (int b = in.read(); b >= 0; b = in.read()) {
                if (isEscaped && b == 'x') {
                    end.run();
                    return;
                }
                if (!isEscaped && b == CTRL_A) {
                    isEscaped = true;
                    continue;
                }
                if (isEscaped && b != CTRL_A) {
                    guest.write(CTRL_A);
                }
                isEscaped = false;
                guest.write(b);
                guest.flush();
            }
            guest.write(CTRL_D);
            guest.flush();
        } catch (IOException gone) {
            // The guest has ended, and nobody is left to type to.
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Puts the terminal's settings back. Works twice. */
    @Override
    public void close() {
        if (settings != null) {
            try {
                stty(settings);
            } catch (IOException e) {
                System.err.println("ioasis: the terminal's settings could not be put back: " + e);
            }
        }
    }
}
