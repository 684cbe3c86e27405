// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;

/**
 * One ioctl of a program that knows nothing of us, there and back: {@code peers/hostcall.c} under
 * {@code ioasis host}, and under the supervisor in C beside it. Wall time, not pinned: the two
 * sides take turns, and where they run is the scheduler's choice for both alike. Main thread.
 */
final class RoundTrip {
    private static final String CLIENT = "hostcall";

    private RoundTrip() {}

    /** Whether the program that calls was built. */
    static boolean isBuilt(Path peers) {
        return peers.resolve(CLIENT).toFile().canExecute();
    }

    /** The supervisor in C with the client. */
    static List<String> inC(Path peers, int repetitions) {
        return List.of(
                "taskset",
                "ffffffff",
                peers.resolve("hostserve").toString(),
                peers.resolve(CLIENT).toString(),
                Integer.toString(repetitions));
    }

    /** The whole command line, as {@code ioasis host} starts it. */
    static List<String> command(Path peers, int repetitions) {
        return List.of(
                "taskset",
                "ffffffff",
                ProcessHandle.current().info().command().orElse("java"),
                "--sun-misc-unsafe-memory-access=allow",
                "--enable-native-access=ALL-UNNAMED",
                "-XX:+UseSerialGC",
                "-cp",
                System.getProperty("java.class.path"),
                "org.ioasis.cli.Main",
                "host",
                "--",
                peers.resolve(CLIENT).toString(),
                Integer.toString(repetitions));
    }

    /** What a command that ends in the client's line says a call took, in nanoseconds. */
    static double run(List<String> command) throws IOException, InterruptedException {
        Process process =
                new ProcessBuilder(command)
                        .redirectError(ProcessBuilder.Redirect.INHERIT)
                        .redirectInput(new File("/dev/null"))
                        .start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (process.waitFor() != 0) {
            throw new IllegalStateException("the program under measurement failed: " + command);
        }
        return output.lines()
                .filter(line -> line.startsWith("call,"))
                .mapToDouble(line -> Double.parseDouble(line.split(",", -1)[2]))
                .findFirst()
                .orElseThrow();
    }
}
