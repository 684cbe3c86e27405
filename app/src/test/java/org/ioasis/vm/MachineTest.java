// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Stream;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Kernel;
import org.ioasis.guestkit.Qemu;
import org.ioasis.guestkit.UnavailableException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Process, workspace and choice of accelerator, with a shell script in QEMU's place. */
class MachineTest {
    private static final Duration LONG = Duration.ofSeconds(60);
    @TempDir Path folder;
    private final Cleanup cleanup = Cleanup.atExit();
    private final List<GuestEvent> events = Collections.synchronizedList(new ArrayList<>());
    private final List<String> messages = Collections.synchronizedList(new ArrayList<>());
    private Path parent;
    private Host host;
    private Workspace workspace;

    @BeforeEach
    void makeWorkspace() throws Exception {
        // Sockets' paths must be short, and a test's own folder is not.
        parent = Files.createTempDirectory(Path.of("/tmp"), "t-");
        host = new Host(Map.of("PATH", "/usr/bin:/bin", "TMPDIR", parent.toString()), "amd64");
        workspace = Workspace.create(host, cleanup, 1 << 20);
    }

    @AfterEach
    void cleanUp() throws IOException {
        cleanup.close();
        Files.delete(parent);
    }

    private GuestKit kit(String script) throws IOException {
        Path qemu = Files.writeString(folder.resolve("qemu"), "#!/bin/sh\n" + script + "\n");
        Files.setPosixFilePermissions(qemu, PosixFilePermissions.fromString("rwxr-xr-x"));
        Files.writeString(folder.resolve("modules.builtin"), "");
        return new GuestKit(
                new Qemu(List.of(qemu.toString()), Map.of("MARK", "set"), "11.1.3"),
                new Kernel("9.9.1", folder.resolve("vmlinuz"), folder),
                Files.writeString(folder.resolve("busybox"), "x"),
                Files.createDirectories(folder.resolve("cache")));
    }

    private QemuProcess start(String script) throws IOException {
        QemuCommand command =
                QemuCommand.builder(
                                kit(script).qemu(),
                                Accel.TCG,
                                folder.resolve("vmlinuz"),
                                folder.resolve("initrd"))
                        .memoryMiB(64)
                        .commandLine("quiet")
                        .build();
        return QemuProcess.start(command, host, cleanup, events::add);
    }

    private List<String> entries(Path of) throws IOException {
        try (Stream<Path> entries = Files.list(of)) {
            return entries.map(e -> e.getFileName().toString()).toList();
        }
    }

    @Test
    void guestThatHangsIsReportedAndKilledWithItsChildren() throws Exception {
        QemuProcess qemu = start("sleep 1000 & echo $!; echo stuck >&2; wait");

        QemuProcess.End end = qemu.await(Duration.ofSeconds(1), () -> messages.add("state"));

        assertThat(end).isEqualTo(new QemuProcess.End.TimedOut(Duration.ofSeconds(1)));
        assertThat(messages).containsExactly("state");
        assertThat(qemu.errors()).containsExactly("stuck");
        long child = Long.parseLong(qemu.report().lastLines().getFirst());
        assertThat(ProcessHandle.of(child).map(Cleanup::isRunning).orElse(false)).isFalse();
    }

    @Test
    void qemuThatFailsShowsItsWordsAndCode() throws Exception {
        QemuProcess qemu = start("echo 'qemu: no such device' >&2; exit 1");

        assertThat(qemu.await(LONG, () -> {})).isEqualTo(new QemuProcess.End.Exited(1));
        assertThat(qemu.errors()).containsExactly("qemu: no such device");
        assertThat(events).contains(new GuestEvent.Vmm("qemu: no such device"));
    }

    @Test
    void qemuThatWritesWithoutEndFillsNoMemoryAndCanBeKilled() throws Exception {
        CountDownLatch enough = new CountDownLatch(50_000);
        QemuCommand command =
                QemuCommand.builder(
                                kit("exec yes 'some line' 2>/dev/null").qemu(),
                                Accel.TCG,
                                folder.resolve("vmlinuz"),
                                folder.resolve("initrd"))
                        .memoryMiB(64)
                        .commandLine("quiet")
                        .build();
        QemuProcess qemu = QemuProcess.start(command, host, cleanup, event -> enough.countDown());
        enough.await();

        qemu.kill();

        assertThat(qemu.await(LONG, () -> {})).isEqualTo(new QemuProcess.End.Killed());
        assertThat(qemu.report().lastLines()).hasSize(40);
    }

    @Test
    void consoleIsReadToItsEndAndTheInputIsEmpty() throws Exception {
        QemuProcess qemu =
                start("read x && exit 9; echo \"$MARK\"; echo '[ 1.500000] ioasis: end=ok'");

        assertThat(qemu.await(LONG, () -> {})).isEqualTo(new QemuProcess.End.Exited(0));
        assertThat(events)
                .containsExactly(new GuestEvent.Text("set"), new GuestEvent.Finished(1_500_000));
        assertThat(qemu.report().isFinished()).isTrue();
    }

    @Test
    void workspaceIsPrivateAndGoesAway() throws Exception {
        String name = entries(parent).getFirst();
        Path disk = workspace.emptyDisk("fs", 1 << 20);

        assertThat(Files.getPosixFilePermissions(parent.resolve(name)))
                .isEqualTo(PosixFilePermissions.fromString("rwx------"));
        assertThat(Files.size(disk)).isEqualTo(1 << 20);
        assertThat(disk.toString()).hasSizeLessThan(108);
        workspace.close();
        assertThat(entries(parent)).isEmpty();
    }

    @Test
    void namesThatLeaveTheWorkspaceOrAreTooLongForASocketAreRefused() {
        for (String name : List.of("../x", "a/b", "/etc/x", "", ".", "n".repeat(100))) {
            assertThatThrownBy(() -> workspace.file(name))
                    .as(name)
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void workspaceThatCannotHoldTheDisksIsUnavailable() throws IOException {
        assertThatThrownBy(() -> Workspace.create(host, cleanup, Long.MAX_VALUE))
                .isInstanceOf(UnavailableException.class)
                .hasMessageContaining("set TMPDIR");
        assertThat(entries(parent)).hasSize(1);
    }

    private AccelChoice choice(Path device) throws IOException {
        Path bootId = Files.writeString(folder.resolve("boot_id"), "boot-1\n");
        return new AccelChoice(host, cleanup, messages::add, device, bootId);
    }

    @Test
    void hostWithoutKvmRunsWithoutItAndStartsNothing() throws Exception {
        Accel accel = choice(folder.resolve("kvm")).choose(kit("exit 1"), workspace);

        assertThat(accel).isEqualTo(Accel.TCG);
        assertThat(messages).singleElement().asString().contains("cannot be opened");
    }

    @Test
    void kvmThatGivesUpIsNotWaitedForAndNotTriedAgain() throws Exception {
        Path device = Files.createFile(folder.resolve("kvm"));
        Path calls = folder.resolve("calls");
        GuestKit kit =
                kit(
                        "echo call >>'"
                                + calls
                                + "'; echo 'KVM internal error. Suberror: 1' >&2; exec sleep 1000");

        Accel first = choice(device).choose(kit, workspace);
        Accel second = choice(device).choose(kit, workspace);

        assertThat(first).isEqualTo(Accel.TCG);
        assertThat(second).isEqualTo(Accel.TCG);
        assertThat(Files.readAllLines(calls)).hasSize(1);
        assertThat(messages)
                .containsExactly(
                        "trying whether KVM can run the guest",
                        "running without KVM: it cannot run a guest here"
                                + " (KVM internal error. Suberror: 1)",
                        "running without KVM: it could not run a guest on this host before");
        assertThat(entries(parent.resolve(entries(parent).getFirst()))).isEmpty();
    }

    @Test
    void kvmThatBootsTheGuestIsUsedAndRememberedForThisBootOfTheHost() throws Exception {
        Path device = Files.createFile(folder.resolve("kvm"));
        Path calls = folder.resolve("calls");
        GuestKit kit = kit("echo \"$*\" >>'" + calls + "'; echo '[    0.900000] ioasis: end=ok'");

        assertThat(choice(device).choose(kit, workspace)).isEqualTo(Accel.KVM);
        assertThat(choice(device).choose(kit, workspace)).isEqualTo(Accel.KVM);
        assertThat(Files.readAllLines(calls))
                .singleElement()
                .asString()
                .contains("-accel kvm")
                .contains("ioasis.run=hello");

        Path next = Files.writeString(folder.resolve("next_id"), "boot-2\n");
        new AccelChoice(host, cleanup, messages::add, device, next).choose(kit, workspace);
        assertThat(Files.readAllLines(calls)).hasSize(2);
    }
}
