// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import org.ioasis.guestkit.Host;
import org.ioasis.iommu.Status;
import org.ioasis.record.RecordConfig;
import org.ioasis.record.Replay;
import org.ioasis.run.DiskRun;
import org.ioasis.run.Progress;
import org.ioasis.run.RunOptions;
import org.ioasis.run.RunReport;
import org.ioasis.run.RunReportText;
import org.ioasis.vm.Accel;
import org.ioasis.vm.GuestTask;

/**
 * One cell of the guest matrix: a run of {@code ioasis vm} with small disks, judged from the host's
 * side. One thread, and one guest at a time.
 */
final class Cells {
    static final long BYTES = 32L << 20;

    private static final int RECORDING_MIB = 64;
    private static final Duration LIMIT = Duration.ofMinutes(3);

    private Cells() {}

    /**
     * Small disks, little memory, and a seed that is different in each cell, whose recording is
     * left in target for a person to look at.
     */
    static RunOptions.Builder options(long seed) {
        Path file = Path.of("target", "cell-%d.parquet".formatted(seed));
        return RunOptions.builder(seed)
                .record(RecordConfig.of(file, RECORDING_MIB, "cell " + seed))
                .accel(Accel.TCG)
                .memoryMiB(256)
                .seedBytes(BYTES)
                .limit(LIMIT);
    }

    static Progress progress() {
        return new Progress(System.out, false);
    }

    /** Runs it; everything that holds of every good run is asserted here. */
    static RunReport run(RunOptions options, GuestTask.Scenario scenario) throws Exception {
        RunReport report = new DiskRun(options, scenario, Host.current(), progress()).run();

        assertThat(report.problems()).as(RunReportText.of(report)).isEmpty();
        assertThat(report.driver().values()).containsOnly("virtio_iommu");
        assertThat(report.bytesVerified()).isEqualTo(BYTES);
        assertThat(report.faults()).isZero();
        assertThat(report.unanswered()).isZero();
        assertThat(report.accesses().bypassedAfterAttach()).isZero();
        report.requests()
                .forEach((type, answers) ->
                        assertThat(answers.keySet()).as(type.name()).containsExactly(Status.OK));
        assertReplays(options.record().orElseThrow().file());
        return report;
    }

    /** What was recorded is answered once more as it was. */
    static void assertReplays(Path recording) throws IOException {
        Replay.Result replayed = Replay.of(recording);
        assertThat(replayed.difference()).isNull();
        assertThat(replayed.lostAt()).as("the row from which on some are missing").isEqualTo(-1);
        assertThat(replayed.elsewhere()).isZero();
        assertThat(replayed.faults()).isZero();
        assertThat(replayed.requests()).isPositive();
        assertThat(replayed.accesses()).isGreaterThan(1000);
    }

    /** A kernel's series: "6.12.107+deb13" is 6012. */
    static int series(RunReport report) {
        return series(report.kernel().orElseThrow());
    }

    static int series(String release) {
        String[] numbers = release.split("[.+-]", 3);
        return Integer.parseInt(numbers[0]) * 1000 + Integer.parseInt(numbers[1]);
    }
}
