// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.Host;
import org.ioasis.iommu.Iommu;
import org.ioasis.kind.blk.Disk;
import org.ioasis.live.MachineView;
import org.ioasis.machine.Machine;
import org.ioasis.run.GuestSetup;
import org.ioasis.vm.GuestEvent;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.QemuProcess;
import org.junit.jupiter.api.Test;

/** VMMs that are killed in the middle of I/O, while one server process serves them all. */
class VmmDeathTest {
    private static final int DEATHS = 20;
    private static final long LIMIT_SECONDS = 90;

    /** Bytes translated after the guest's I/O has begun and before its VMM dies; grows. */
    private static final long STEP_BYTES = 700_000;

    /** Sockets, eventfds and memfds that are open, and mappings of guest memory. */
    private record Held(long descriptors, long mappings) {
        static Held now() throws IOException {
            try (Stream<Path> fds = Files.list(Path.of("/proc/self/fd"));
                    Stream<String> maps = Files.lines(Path.of("/proc/self/maps"))) {
                return new Held(
                        fds.filter(Held::isOfASession).count(),
                        maps.filter(line -> line.contains("/memfd:memory-backend")).count());
            }
        }

        private static boolean isOfASession(Path fd) {
            try {
                String target = Files.readSymbolicLink(fd).toString();
                return target.startsWith("socket:")
                        || target.startsWith("anon_inode:[eventfd")
                        || target.startsWith("/memfd:");
            } catch (IOException e) {
                return false; // closed in between: the listing's own descriptor
            }
        }
    }

    @Test
    void serverOutlivesVmmsThatAreKilledAndKeepsNothingOfThem() throws Exception {
        try (Cleanup cleanup = Cleanup.atExit();
                GuestSetup setup =
                        GuestSetup.prepare(
                                Cells.options(30).build(),
                                new GuestTask.Churn(),
                                Host.current(),
                                cleanup,
                                Cells.progress())) {
            Machine machine = setup.machine();
            Held before = Held.now();

            for (int i = 0; i < DEATHS; i++) {
                killInTheMiddleOfIo(setup, cleanup, i * STEP_BYTES);
                awaitNoSession(machine);
                assertThat(Held.now()).as("after death " + i).isEqualTo(before);
                assertThat(mappedOnLoop(machine)).as("after death " + i).isEqualTo("0 in 0");
            }

            assertThat(machine.internalFailures()).as(MachineView.of(machine).text()).isZero();
            assertThat(machine.faults()).isZero();
            assertThat(machine.iommus().getFirst().server().sessionCount()).isEqualTo(DEATHS);
            verify(setup, cleanup);
        }
    }

    private static void killInTheMiddleOfIo(GuestSetup setup, Cleanup cleanup, long bytes)
            throws Exception {
        Machine machine = setup.machine();
        CountDownLatch begun = new CountDownLatch(1);
        try (QemuProcess qemu =
                QemuProcess.start(
                        setup.command(),
                        Host.current(),
                        cleanup,
                        event -> {
                            if (event instanceof GuestEvent.Step(String name, long _)
                                    && name.equals("churn")) {
                                begun.countDown();
                            }
                        })) {
            assertThat(begun.await(LIMIT_SECONDS, TimeUnit.SECONDS))
                    .as(
                            "the guest begins its I/O: "
                                    + qemu.report()
                                    + "\n"
                                    + MachineView.of(machine).text())
                    .isTrue();
            long target = machine.accesses().translatedBytes() + bytes;
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_SECONDS);
            while (machine.accesses().translatedBytes() <= target) {
                assertThat(System.nanoTime() - deadline)
                        .as(MachineView.of(machine).text())
                        .isNegative();
                Thread.sleep(1);
            }

            qemu.kill();

            assertThat(qemu.await(Duration.ofSeconds(LIMIT_SECONDS), () -> {}))
                    .isEqualTo(new QemuProcess.End.Killed());
            assertThat(qemu.report().failure()).isEmpty();
        }
    }

    /** Mappings and domains that are left. */
    private static String mappedOnLoop(Machine machine) {
        Iommu engine = machine.iommus().getFirst().engine();
        String[] left = {"the loop does not answer"};
        boolean _ =
                machine.onLoop(
                        () -> left[0] = engine.mappingCount() + " in " + engine.domainCount());
        return left[0];
    }

    private static void awaitNoSession(Machine machine) throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_SECONDS);
        while (machine.iommus().getFirst().server().hasSession()
                || machine.devices(Disk.class).stream()
                        .anyMatch(disk -> disk.server().hasSession())) {
            assertThat(System.nanoTime() - deadline)
                    .as(MachineView.of(machine).text())
                    .isNegative();
            Thread.sleep(1);
        }
    }

    /** The next VM finds devices as good as new. */
    private static void verify(GuestSetup setup, Cleanup cleanup) throws Exception {
        try (QemuProcess qemu =
                QemuProcess.start(
                        setup.command(new GuestTask.Check(Cells.BYTES, GuestTask.Scenario.PLAIN)),
                        Host.current(),
                        cleanup,
                        event -> {})) {
            assertThat(qemu.await(Duration.ofSeconds(LIMIT_SECONDS), () -> {}))
                    .as(qemu.report() + "\n" + MachineView.of(setup.machine()).text())
                    .isEqualTo(new QemuProcess.End.Exited(0));
            assertThat(qemu.report().isFinished()).as(qemu.report().toString()).isTrue();
        }
        assertThat(setup.seeded().compare(setup.resultFile())).isEmpty();
    }
}
