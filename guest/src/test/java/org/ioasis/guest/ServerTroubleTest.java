package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
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
     * A limit of the file's size stands for a full disk, which not every user can make: write(2)
     * fails in the same place, with EFBIG where it would be ENOSPC.
     */
    @Test
    void writesThatTheFileRefusesFailInTheGuestAndNothingElseDoes() throws Exception {
        String script =
                "z=/dev/zero; d=/dev/vdc; o='bs=1M oflag=direct conv=fsync';"
                        + " dd if=$z of=$d count=8 $o && echo below-works;"
                        + " dd if=$z of=$d count=1 seek=24 $o || echo above-fails;"
                        + " dd if=$d of=/dev/null bs=1M iflag=direct && echo read-works;"
                        + " dd if=$z of=$d count=1 $o && echo works-again";
        try (Command command = new Command(Map.of(), "vm", "--accel", "tcg", "--run", script)) {
            // Not before: QEMU would inherit the limit, and its guest's memory is a file too.
            command.await("guest: modules");
            command.limitFileSize(16L << 20);

            assertThat(command.end()).as(command.output()).isZero();
            assertThat(command.output())
                    .contains("below-works", "above-fails", "read-works", "works-again")
                    .contains("I/O error");
        }
    }
}
