// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.LockedMemory;
import org.ioasis.iommufd.mock.MockDriver;
import org.ioasis.sys.ChildProcess.End;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Programs that mean no good, on one node with the mock: whatever they do, the next program is
 * served, and when they are gone nothing of theirs is left: no context, no held page, no table, no
 * descriptor.
 */
@Timeout(240)
class HostileProgramTest {
    @TempDir static Path folder;
    private static CompiledProgram hostile;

    private final IommufdNode node = IommufdNode.builder().commands(new MockDriver()).build();

    @BeforeAll
    static void compile() throws Exception {
        hostile = new CompiledProgram(folder, "hostile.c");
        // What a first run loads and keeps is not what is counted.
        new HostileProgramTest().run("good");
    }

    @AfterEach
    void nothingIsLeftAndTheNextProgramIsServed() throws Exception {
        nothingIsLeft();
        Set<String> before = descriptors();
        assertThat(run("good")).containsExactly("served: 1");
        nothingIsLeft();
        assertThat(descriptors()).isEqualTo(before);
    }

    private void nothingIsLeft() {
        assertThat(node.openContexts()).as("open contexts").isZero();
        assertThat(node.heldPages()).as("held pages").isZero();
        assertThat(node.tables().held()).as("bytes of page tables").isZero();
    }

    /** Ours of the kinds that a supervisor opens. */
    private static Set<String> descriptors() throws IOException {
        Set<String> found = new TreeSet<>();
        try (DirectoryStream<Path> all = Files.newDirectoryStream(Path.of("/proc/self/fd"))) {
            for (Path entry : all) {
                try {
                    String target = Files.readSymbolicLink(entry).toString();
                    if (target.startsWith("/memfd:")
                            || target.startsWith("anon_inode:")
                            || target.matches("/proc/[0-9]+/mem")) {
                        found.add(entry.getFileName() + " " + target);
                    }
                } catch (NoSuchFileException e) {
                    // The folder's own, closed since.
                }
            }
        }
        return found;
    }

    private List<String> run(String... things) throws Exception {
        Set<String> before = descriptors();
        ProgramRun run = start(hostile.command(things));
        assertThat(run.await()).isEqualTo(new End.Exit(0));
        assertThat(descriptors()).as("descriptors after %s", List.of(things)).isEqualTo(before);
        return hostile.output();
    }

    private ProgramRun start(List<byte[]> command) throws Exception {
        return ProgramRun.start(command, node, true, CallTrace.none());
    }

    @Test
    void wrongPointersAreEfaultInEveryCallAndLeaveNoObject() throws Exception {
        assertThat(run("pointers"))
                .containsExactly(
                        "not refused: 0", "read-only: 1", "ids lost: 0", "memory that is none: 6");
    }

    @Test
    void memoryThatComesAndGoesUnderACallIsHeldOrEfault() throws Exception {
        assertThat(run("unmapping")).containsExactly("neither done nor EFAULT: 0", "served: 1");
    }

    @Test
    void structureThatAnotherThreadRewritesAllTheTimeHarmsNobody() throws Exception {
        assertThat(run("changing")).containsExactly("served: 1");
    }

    @Test
    void descriptorThatIsClosedWhileItIsUsedIsReleased() throws Exception {
        assertThat(run("closing")).containsExactly("served: 1");
    }

    @Test
    void killedAtAnyStepAProgramLeavesNothing() throws Exception {
        assertThat(run("killed")).containsExactly("killed: 150", "served: 1");
    }

    @Test
    void killedAtAnyStepAProcessIsChargedForNothingAnyMore() throws Exception {
        Set<LockedMemory> accounts = ConcurrentHashMap.newKeySet();
        AtomicLong most = new AtomicLong();
        Devices devices =
                new MockFiles(
                        ProgramFiles.builder()
                                .iommu(caller -> {
                                    LockedMemory account = caller.memory().locked();
                                    accounts.add(account);
                                    most.accumulateAndGet(account.user(), Math::max);
                                    return node.open(caller);
                                })
                                .build());
        ProgramRun run = ProgramRun.start(hostile.command("charged"), devices, CallTrace.none());

        assertThat(run.await()).isEqualTo(new End.Exit(0));
        assertThat(hostile.output())
                .containsExactly("charged: 1", "kilobytes: 64", "killed: 60", "kilobytes: 0");
        assertThat(most.get()).as("pages charged to the user").isGreaterThanOrEqualTo(16);
        assertThat(accounts)
                .hasSizeGreaterThan(10)
                .allSatisfy(account -> {
                    assertThat(account.pinned()).as("pages held for a process").isZero();
                    assertThat(account.locked()).as("pages charged to a process").isZero();
                    assertThat(account.user()).as("pages charged to the user").isZero();
                });
    }

    @Test
    void tenThousandObjectsGoWithTheProgramThatMadeThem() throws Exception {
        assertThat(run("objects")).containsExactly("objects: 10000");
    }

    @Test
    void aHundredChildrenAtOnceHaveContextsOfTheirOwnAndShareOne() throws Exception {
        assertThat(run("children")).containsExactly("children: 100", "mapped by all: 100");
    }

    @Test
    void copiesOfAFileWithContentsHaveThem() throws Exception {
        assertThat(run("contents"))
                .containsExactly("written: 1", "in a copy: 1", "in a copy of a high number: 1");
    }

    @Test
    void severalProgramsOnOneNodeDoNotMeet() throws Exception {
        List<Path> outputs = new ArrayList<>();
        List<ProgramRun> runs = new ArrayList<>();
        for (String what : List.of("good", "changing", "children", "closing", "good")) {
            Path output = folder.resolve("output-" + runs.size());
            outputs.add(output);
            String script = "exec '%s' %s >'%s'".formatted(hostile.path(), what, output);
            runs.add(
                    start(
                            List.of(
                                    "sh".getBytes(UTF_8),
                                    "-c".getBytes(UTF_8),
                                    script.getBytes(UTF_8))));
        }
        for (ProgramRun run : runs) {
            assertThat(run.await()).isEqualTo(new End.Exit(0));
        }
        List<String> all = new ArrayList<>();
        for (Path output : outputs) {
            all.addAll(Files.readAllLines(output));
        }
        assertThat(all)
                .containsExactly(
                        "served: 1",
                        "served: 1",
                        "children: 100",
                        "mapped by all: 100",
                        "served: 1",
                        "served: 1");
    }

    @Test
    void aProgramThatIsKilledFromOutsideLeavesNothing() throws Exception {
        ProgramRun run = start(hostile.command("killed"));
        Thread.sleep(300);
        run.signal(9);

        assertThat(run.await()).isEqualTo(new End.Signal(9));
    }
}
