// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.nio.file.Path;
import java.util.List;
import org.ioasis.sys.ChildProcess.End;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What an unmodified program sees of a device of ours, and what a hostile one cannot do to us. */
@Timeout(120)
class SupervisorTest {
    @TempDir static Path folder;
    private static CompiledProgram toy;

    private final ToyDevice device = new ToyDevice();
    private final ByteArrayOutputStream traced = new ByteArrayOutputStream();

    @BeforeAll
    static void compile() throws Exception {
        toy = new CompiledProgram(folder, "toy.c");
    }

    @AfterEach
    void everythingIsReleased() {
        assertThat(device.made()).isPositive();
        assertThat(device.open()).isZero();
    }

    @Test
    void openGivesADescriptorAndIoctlChangesTheProgramsMemory() throws Exception {
        assertThat(run("open", "echo")).containsExactly("in our range: 1", "echo: 42");
    }

    @Test
    void wrongPointersAreEfault() throws Exception {
        assertThat(run("pointers"))
                .containsExactly(
                        "null: EFAULT",
                        "kernel: EFAULT",
                        "over the end: EFAULT",
                        "read-only: EFAULT");
    }

    @Test
    void unknownCommandsAndRefusalsAreErrors() throws Exception {
        assertThat(run("unknown"))
                .containsExactly("unknown: ENOTTY", "other type: ENOTTY", "refused: EBUSY");
    }

    @Test
    void vmmMayShowAFileOfOursToKvmAndOthersAreForKvmToJudge() throws Exception {
        assertThat(run("kvm"))
                .containsExactly(
                        "added: 0",
                        "deleted: 0",
                        "another attribute: ENOTTY",
                        "another group: ENOTTY",
                        "another file: ENOTTY",
                        "nowhere: ENOTTY",
                        "no attribute: ENOTTY");
    }

    @Test
    void deviceWithoutContentsRefusesToBeReadAndMapsOnlyWhatItOffers() throws Exception {
        assertThat(run("io"))
                .containsExactly(
                        "read: EINVAL",
                        "write: EINVAL",
                        "readv: EINVAL",
                        "mmap bad: ENXIO",
                        "mmap good: 0");
    }

    /** The last line: more windows, one after the other, than a process may have mappings. */
    @Test
    void aWindowIsMappedAsLongAsAnyProcessMapsItAndFreshEachTime() throws Exception {
        assertThat(run("windows"))
                .containsExactly(
                        "before: 0",
                        "a fresh window: 0",
                        "shows: 7",
                        "mapped: 1",
                        "in the child: 1",
                        "nowhere: 0",
                        "fresh again: 70000");
    }

    @Test
    void copiesOfADescriptorAreTheSameFileAndAnotherOpenIsNot() throws Exception {
        assertThat(run("dup"))
                .containsExactly(
                        "same by dup: 1",
                        "same by fcntl: 1",
                        "close-on-exec: 1",
                        "same by dup2: 1",
                        "read of a copy: EINVAL",
                        "another open: 1",
                        "close-on-exec: 1");
    }

    @Test
    void fileIsReleasedWithItsLastDescriptorAndMappingBeforeTheNextCallIsAnswered()
            throws Exception {
        assertThat(run("close"))
                .containsExactly(
                        "open: 2",
                        "a copy is left: 2",
                        "a mapping is left: 2",
                        "nothing is left: 1");
    }

    @Test
    void childHasItsParentsFilesAndItsOwn() throws Exception {
        assertThat(run("fork")).containsExactly("child: 33", "open: 1");
    }

    @Test
    void aHundredChildrenAtOnceAreAllAnswered() throws Exception {
        assertThat(run("children")).containsExactly("children: 100", "open: 1");
        assertThat(device.made()).isEqualTo(101);
    }

    @Test
    void fileLivesOnInTheProgramThatIsExecuted() throws Exception {
        assertThat(run("exec")).containsExactly("after exec: 8");
    }

    @Test
    void pathLooksLikeADeviceToWhoeverAsks() throws Exception {
        assertThat(run("stat"))
                .containsExactly(
                        "stat: 0",
                        "character device: 1",
                        "fstat: 0",
                        "character device: 1",
                        "access: 0",
                        "executable: EACCES",
                        "readlink: EINVAL",
                        "folder: ENOTDIR",
                        "chdir: 0",
                        "relative: 1",
                        "at: 1",
                        "not there: ENOENT",
                        "fopen: 1");
    }

    @Test
    void eventsArePolledAndReadOneAfterTheOther() throws Exception {
        assertThat(run("events"))
                .containsExactly(
                        "poll: 1",
                        "writable only: 1",
                        "poll: 1",
                        "readable: 1",
                        "read: 8",
                        "event: 1",
                        "readv: 8",
                        "event: 2",
                        "read again: 0",
                        "writable only: 1",
                        "open: 2",
                        "open: 1");
    }

    @Test
    void bugOfOursEndsOneCallAndTheNextIsAnswered() throws Exception {
        assertThat(run("broken")).containsExactly("broken: EIO", "out of memory: EIO", "echo: 42");
    }

    @Test
    void argumentThatAnotherThreadChangesIsReadOnce() throws Exception {
        assertThat(run("changing")).containsExactly("answered: 2000");
    }

    @Test
    void descriptorThatIsClosedDuringACallIsReleasedAfterIt() throws Exception {
        assertThat(run("closing")).containsExactly("slow: 0", "after: EBADF");
    }

    @Test
    void programsThatAreKilledAtAnyStepLeaveNothing() throws Exception {
        assertThat(run("killed")).containsExactly("open: 1");
        assertThat(device.made()).isGreaterThan(1);
    }

    @Test
    void openingWithoutEndStopsAtTheNumbersThatWeGiveOut() throws Exception {
        assertThat(run("flood")).containsExactly("opened until EMFILE: 301");
        assertThat(device.made()).isEqualTo(302);
    }

    @Test
    void allProcessesTogetherHaveNoMoreFilesThanTheLimit() throws Exception {
        assertThat(run("crowd"))
                .containsExactly(
                        "refused by the sum: ENFILE", "opened: " + StandIns.LIMIT, "open again: 1");
    }

    @Test
    void signalDoesNotMakeTheProgramRepeatACall() throws Exception {
        assertThat(run("interrupted")).containsExactly("failed: 0");
        assertThat(device.slowCalls()).isEqualTo(500);
    }

    @Test
    void traceHasEachCallWithItsAnswerAndTheRuleOfARefusal() throws Exception {
        run("echo", "unknown");

        assertThat(traced.toString(UTF_8).lines().map(l -> l.replaceFirst("^\\d+ ", "")))
                .containsSequence(
                        "open(/dev/iommu) = 700",
                        "ioctl(/dev/iommu.1, IOMMU_DESTROY, {size=41 id=17}) = 0 {size=42}",
                        "ioctl(/dev/iommu.1, 0x3b7f) = -1 ENOTTY",
                        "ioctl(/dev/iommu.1, IOMMU_IOAS_IOVA_RANGES, 0x0) = -1 EBUSY: the toy refuses this",
                        "last close of /dev/iommu.1");
    }

    @Test
    void callThatEndsInABugOfOursIsInTheTraceToo() throws Exception {
        run("broken");

        assertThat(traced.toString(UTF_8).lines().map(l -> l.replaceFirst("^\\d+ ", "")))
                .containsSequence(
                        "ioctl(/dev/iommu.1, IOMMU_IOAS_MAP, 0x0) = -1 EIO: a fault of ioasis itself, see what it printed",
                        "ioctl(/dev/iommu.1, IOMMU_IOAS_MAP, 0x1) = -1 EIO: a fault of ioasis itself, see what it printed");
    }

    @Test
    void traceHasTheNumberOfVectorsOfATransferToSeveralPlaces() throws Exception {
        run("io", "events");

        assertThat(traced.toString(UTF_8).lines().map(l -> l.replaceFirst("^\\d+ ", "")))
                .contains(
                        "read(/dev/iommu.1, 8) = -1 EINVAL",
                        "readv(/dev/iommu.1, vectors=1) = -1 EINVAL",
                        "readv(events, vectors=2) = 8");
    }

    private List<String> run(String... things) throws Exception {
        ProgramRun run =
                ProgramRun.start(
                        toy.command(things), device.devices(), CallTrace.to(traced, 1 << 20));

        assertThat(run.await()).isEqualTo(new End.Exit(0));
        return toy.output();
    }
}
