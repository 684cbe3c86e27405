// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.ioasis.guestkit.Kernel;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.vm.Ending;
import org.ioasis.vm.GuestReport;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.QemuProcess;
import org.junit.jupiter.api.Test;

/** When a guest that did what the user wanted has come to its end. */
class ShellRunTest {
    private static final QemuProcess.End TIMED_OUT =
            new QemuProcess.End.TimedOut(Duration.ofSeconds(40));
    private static final QemuProcess.End EXITED = new QemuProcess.End.Exited(0);

    private static GuestSetup.Ended ended(
            QemuProcess.End end,
            Optional<Integer> status,
            Optional<String> oops,
            boolean isPoweredOff) {
        return ended(end, status, oops, isPoweredOff, Map.of());
    }

    private static GuestSetup.Ended ended(
            QemuProcess.End end,
            Optional<Integer> status,
            Optional<String> oops,
            boolean isPoweredOff,
            Map<String, GuestReport.Device> devices) {
        return new GuestSetup.Ended(
                end,
                new GuestReport(
                        Optional.of("6.12"),
                        Map.of(),
                        devices,
                        List.of(),
                        List.of(),
                        status,
                        Optional.empty(),
                        Optional.empty(),
                        oops,
                        isPoweredOff,
                        status.isPresent(),
                        0,
                        List.of()),
                List.of());
    }

    private static List<String> problems(GuestTask task, GuestSetup.Ended ended) {
        return ShellRun.problems(RunOptions.builder(1).build(), task, ended);
    }

    @Test
    void aGuestThatIsKilledAfterItsTimeIsNoSuccessWhateverItHadSaid() {
        GuestSetup.Ended late =
                ended(TIMED_OUT, Optional.of(137), Optional.of("BUG: null pointer"), false);

        assertThat(late.ending()).isEqualTo(Ending.TIMEOUT);
        assertThat(problems(new GuestTask.Run("exit 4"), late))
                .containsExactly(
                        "the guest did not end within 40 s, after its status 137",
                        "the guest's kernel has met a fault of its own: BUG: null pointer");
        assertThat(
                        problems(
                                new GuestTask.Run("exit 4"),
                                ended(TIMED_OUT, Optional.empty(), Optional.empty(), false)))
                .containsExactly(
                        "the guest did not end within 40 s",
                        "no exit status has come from the guest");
    }

    @Test
    void aGuestThatPowersOffIsWantedWithAStatusOrWithAnInitramfsOfItsOwn() {
        GuestSetup.Ended with = ended(EXITED, Optional.of(4), Optional.of("BUG: but"), true);
        GuestSetup.Ended without = ended(EXITED, Optional.empty(), Optional.empty(), true);

        assertThat(problems(new GuestTask.Shell(), with)).isEmpty();
        assertThat(problems(new GuestTask.Boot(), without)).isEmpty();
        assertThat(problems(new GuestTask.Shell(), without))
                .containsExactly("no exit status has come from the guest");
    }

    private static Optional<String> withoutDisk(
            RunOptions.Builder options,
            GuestTask task,
            Optional<Integer> status,
            Map<String, GuestReport.Device> devices) {
        return ShellRun.withoutDisk(
                options.build(),
                task,
                ended(EXITED, status, Optional.empty(), true, devices).guest());
    }

    @Test
    void aCommandThatHadNoDiskIsSaidToHaveHadNone() {
        RunOptions.Builder own =
                RunOptions.builder(1)
                        .kernel(new KernelChoice.Own(new Kernel("7.2", Path.of("bzImage"), null)));
        GuestTask run = new GuestTask.Run("true");
        Optional<Integer> done = Optional.of(0);
        Map<String, GuestReport.Device> disk =
                Map.of("seed", new GuestReport.Device("0000:00:02.0", "1", "DMA", ""));

        assertThat(withoutDisk(own, run, done, Map.of()))
                .contains(
                        "the guest had no disk behind the IOMMU: no --modules were given: what this"
                                + " kernel has as a module, the guest does not have");
        assertThat(withoutDisk(RunOptions.builder(1), new GuestTask.Shell(), done, Map.of()))
                .contains("the guest had no disk behind the IOMMU");
        assertThat(withoutDisk(own, run, done, disk)).isEmpty();
        assertThat(withoutDisk(own, run, Optional.empty(), Map.of())).as("it says more").isEmpty();
        assertThat(withoutDisk(own, new GuestTask.Boot(), done, Map.of())).isEmpty();
    }

    @Test
    void aDiskOfTheUsersHasTheNameThatTheGuestGivesIt() {
        assertThat(Judgement.role(GuestTask.OWN_SERIAL + 2)).isEqualTo("own2");
        assertThat(Judgement.role(GuestTask.SEED_SERIAL)).isEqualTo("seed");
        assertThat(Judgement.role("net")).isEqualTo("net");
    }
}
