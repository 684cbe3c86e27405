// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.peer.ServerWait;
import org.ioasis.program.CompiledProgram;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A device server in a process of its own that is killed under its driver's work. */
@Timeout(120)
class KilledDeviceTest {
    private static final int KILLS = 20;
    private static final int SECTORS = 256;
    private static final long IOVA = 0x7000_0000L;

    @TempDir Path folder;

    /** The README's NVM Express controller in C. */
    private final class Controller {
        private final CompiledProgram program;
        private final Path socket = folder.resolve("device.sock");
        private final Path disk = folder.resolve("disk.img");
        private Process process;

        Controller() throws Exception {
            program = new CompiledProgram(folder, Path.of("..", "docs", "examples", "nvme.c"));
            Files.write(disk, new byte[SECTORS * NvmeDriver.SECTOR]);
            process = start();
        }

        private Process start() throws IOException {
            Process started =
                    new ProcessBuilder(
                                    program.path().toString(), socket.toString(), disk.toString())
                            .redirectError(ProcessBuilder.Redirect.INHERIT)
                            .start();
            BufferedReader said =
                    new BufferedReader(
                            new InputStreamReader(
                                    started.getInputStream(), StandardCharsets.UTF_8));
            assertThat(said.readLine()).isEqualTo("ready " + socket);
            return started;
        }

        void killAndStart() throws Exception {
            kill();
            process = start();
        }

        void kill() throws InterruptedException {
            process.destroyForcibly();
            assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
        }
    }

    @Test
    void killedTwentyTimesUnderItsDriverItKeepsWhatWasWritten() throws Exception {
        Controller controller = new Controller();
        try (ProxyFixture fixture =
                        new ProxyFixture(
                                new ProxySettings(
                                        Isolation.ENFORCED, ProxyFixture.ANSWER_MILLIS, 10_000),
                                controller.socket);
                MockVfioUserClient client = fixture.ready()) {
            fixture.map(IOVA, IOVA + ProxyFixture.RAM - 1, 0, MapFlags.READ | MapFlags.WRITE);
            NvmeDriver driver = new NvmeDriver(client, fixture.ram.segment(), IOVA);
            AtomicInteger done = new AtomicInteger();
            CompletableFuture<Void> kills =
                    CompletableFuture.runAsync(() -> killAll(controller, done));
            Random random = new Random(5);
            byte[][] content = new byte[SECTORS][NvmeDriver.SECTOR];
            while (!kills.isDone() || done.get() < SECTORS) {
                int sector = random.nextInt(SECTORS);
                random.nextBytes(content[sector]);
                driver.write(sector, content[sector]);
                int other = random.nextInt(SECTORS);
                assertThat(driver.read(other)).as("sector %d", other).isEqualTo(content[other]);
                done.incrementAndGet();
            }
            kills.join();
            for (int sector = 0; sector < SECTORS; sector++) {
                assertThat(driver.read(sector)).isEqualTo(content[sector]);
            }
            byte[] file = Files.readAllBytes(controller.disk);
            for (int sector = 0; sector < SECTORS; sector++) {
                int from = sector * NvmeDriver.SECTOR;
                assertThat(Arrays.copyOfRange(file, from, from + NvmeDriver.SECTOR))
                        .isEqualTo(content[sector]);
            }
            assertThat(fixture.function.returns()).isEqualTo(KILLS);
            assertThat(fixture.server.sessionCount()).isOne();
            assertThat(driver.beginnings()).isGreaterThan(KILLS);
        } finally {
            controller.kill();
        }
    }

    /** Kills it again and again, each time while its driver is at work. */
    private static void killAll(Controller controller, AtomicInteger done) {
        Random random = new Random(6);
        try {
            for (int i = 0; i < KILLS; i++) {
                int next = done.get() + 2 + random.nextInt(8);
                while (done.get() < next) {
                    ServerWait.pause();
                }
                controller.killAndStart();
            }
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }
}
