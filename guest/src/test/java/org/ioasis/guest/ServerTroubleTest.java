// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.ioasis.topology.QemuArguments;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A server that stands still for a while, and one that can write no more. */
class ServerTroubleTest {
    private static final long STOP_MILLIS = 7000;
    private static final Pattern STEP = Pattern.compile("\"(copy|sync)\" : ([0-9.]+)");

    @TempDir Path folder;

    /**
     * The guest's driver waits for an answer as long as it takes, and QEMU for no answer to what it
     * posts. (A register that is read would be answered by QEMU itself after five seconds, wrongly;
     * while there is I/O nobody reads one.)
     */
    @Test
    void guestResumesWhenAServerThatStoodStillGoesOn() throws Exception {
        Path json = folder.resolve("report.json");
        try (Command command =
                new Command(
                        Map.of(),
                        "vm",
                        "--accel",
                        "tcg",
                        "--bytes",
                        "64",
                        "--json",
                        json.toString())) {
            command.await("guest: copy");

            command.signal("STOP");
            Thread.sleep(STOP_MILLIS);
            command.signal("CONT");

            assertThat(command.end()).as(command.output()).isZero();
            double waited = 0;
            Matcher steps = STEP.matcher(Files.readString(json));
            while (steps.find()) {
                waited += Double.parseDouble(steps.group(2));
            }
            assertThat(waited).as("seconds by the guest's clock").isGreaterThan(6);
        }
    }

    /**
     * The file is on a tmpfs that is half as large, in a mount namespace of the run's own. Where
     * the user may not have one (user.max_user_namespaces, or what a distribution adds to it), a
     * limit of the file's size stands for it: write(2) fails in the same place, with EFBIG; ENOSPC
     * itself is then seen by FileStoreTest alone, on /dev/full.
     */
    @Test
    void writesThatAFullDiskRefusesFailInTheGuestAndNothingElseDoes() throws Exception {
        String script =
                "s=/dev/vda; d=/dev/vdd; o='bs=1M oflag=direct conv=notrunc';"
                        + " dd if=$s of=$d count=24 $o || echo above-fails;"
                        + " a=$(dd if=$s bs=1M count=16 | sha256sum);"
                        + " b=$(dd if=$d bs=1M count=16 iflag=direct | sha256sum);"
                        + " [ \"$a\" = \"$b\" ] && echo all-that-was-acknowledged-is-there;"
                        + " dd if=$s of=$d count=1 $o && echo works-again; exit 42";
        String disk = folder.resolve("my.img").toString();
        boolean isMountable = canMount();
        // Under the tmpfs, if there is one.
        Files.write(folder.resolve("my.img"), new byte[32 << 20]);
        System.out.println(isMountable ? "full disk: ENOSPC on a tmpfs" : "full disk: EFBIG");
        try (Command command =
                isMountable
                        ? Command.typed(
                                folder,
                                "unshare -Urm sh -c 'mount -t tmpfs -o size=16m none . && cd . &&"
                                        + " truncate -s 32M my.img && exec \"$@\"' sh "
                                        + Command.LAUNCHER
                                        + " vm --accel tcg --disk my.img --run "
                                        + QemuArguments.quotedShell(script))
                        : new Command(
                                Map.of(), "vm", "--accel", "tcg", "--disk", disk, "--run",
                                script)) {
            if (!isMountable) {
                // Not before: QEMU would inherit the limit, and its guest's memory is a file too.
                command.await("guest: modules");
                command.limitFileSize(16L << 20);
            }

            assertThat(command.end()).as(command.output()).isEqualTo(42);
            assertThat(command.output())
                    .contains("above-fails", "16+0 records out", "all-that-was-acknowledged-is")
                    .contains("works-again", "I/O error");
        }
    }

    private boolean canMount() throws Exception {
        String line = "unshare -Urm mount -t tmpfs none . 2>&1";
        try (Command attempt = Command.typed(folder, line)) {
            return attempt.end() == 0;
        }
    }
}
