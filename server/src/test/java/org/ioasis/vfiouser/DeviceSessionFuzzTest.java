// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VfioUser.*;

import java.util.Arrays;
import java.util.Random;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.sys.ErrnoException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * Random bytes, and messages that are nearly right, from a device server at both sockets: the VMM's
 * session works or ends, nothing is kept, and no byte of memory is changed but those that are
 * mapped for it. Each run prints its seed; the property {@code ioasis.seed} repeats it.
 */
@Timeout(120)
class DeviceSessionFuzzTest {
    private static final int SESSIONS = 300;
    private static final long PAGE = 4096;
    private static final long IOVA = 0x10_0000;

    private static byte[] anyMessage(Random random) {
        int command = random.nextInt(4) == 0 ? random.nextInt(20) : 11 + random.nextInt(2);
        int length = random.nextInt(3) == 0 ? random.nextInt(64) : 8;
        long address = IOVA - PAGE + random.nextInt((int) (3 * PAGE));
        byte[] data = new byte[command == VFIO_USER_DMA_READ ? 0 : length];
        random.nextBytes(data);
        byte[] all = ScriptedDevice.access(command, random.nextInt(4), address, length, data);
        if (random.nextInt(4) == 0) {
            all[HEADER_FLAGS] = (byte) random.nextInt(4);
        }
        for (int i = random.nextInt(8) == 0 ? 1 + random.nextInt(3) : 0; i > 0; i--) {
            all[random.nextInt(all.length)] = (byte) random.nextInt();
        }
        return random.nextInt(16) == 0 ? Arrays.copyOf(all, random.nextInt(all.length)) : all;
    }

    @Test
    void whateverAServerSendsMemoryChangesWhereItMayAndTheEndIsClean() throws Exception {
        long seed = Long.getLong("ioasis.seed", System.nanoTime());
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        Resources before = Resources.now();
        long served = 0;
        long lost;
        try (ProxyFixture fixture = new ProxyFixture(true, ScriptedDevice.VECTORS, 200)) {
            fixture.map(IOVA, IOVA + PAGE - 1, 5 * PAGE, MapFlags.READ | MapFlags.WRITE);
            fixture.put(0, "s".repeat((int) (5 * PAGE)));
            fixture.put(6 * PAGE, "s".repeat((int) (5 * PAGE)));
            for (int i = 0; i < SESSIONS; i++) {
                Random mine = new Random(random.nextLong());
                fixture.device.script =
                        (device, asked) -> {
                            if (asked.command() != VFIO_USER_REGION_WRITE) {
                                return false;
                            }
                            for (int n = mine.nextInt(20); n > 0; n--) {
                                if (mine.nextInt(8) == 0) {
                                    device.sendBytes(anyMessage(mine));
                                } else {
                                    device.ask(anyMessage(mine));
                                }
                            }
                            return false;
                        };
                try (MockVfioUserClient client = MockVfioUserClient.ready(fixture.server.path())) {
                    use(client, fixture);
                }
                fixture.awaitNoSession();
            }
            served = fixture.function.dmaCounts().reads() + fixture.function.dmaCounts().writes();
            lost = fixture.function.losses();
            assertThat(fixture.get(0, (int) (5 * PAGE))).matches("s*");
            assertThat(fixture.get(6 * PAGE, (int) (5 * PAGE))).matches("s*");
            assertThat(fixture.loop.failures()).isZero();
            assertThat(fixture.function.dmaCounts().refused()).isPositive();
            assertThat(fixture.function.dmaCounts().malformed()).isPositive();
        }
        // Both ways: what is right gets through, and what is not ends sessions.
        assertThat(served).isPositive();
        assertThat(lost).isBetween(1L, SESSIONS - 1L);
        assertThat(Resources.now()).isEqualTo(before);
    }

    /** Until the session ends, which it may at any moment. */
    private static void use(MockVfioUserClient client, ProxyFixture fixture) {
        try {
            client.map(0, ProxyFixture.RAM, 0, 3, fixture.file);
            client.write(VFIO_PCI_CONFIG_REGION_INDEX, 4, 2, ProxyFixture.COMMAND_ON);
            client.write(0, 0, 4, 1);
            client.readRegion(0, 0, 4);
        } catch (ErrnoException | IllegalStateException e) {
            // Ended by us: the server's fault.
        }
    }
}
