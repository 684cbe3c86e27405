// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

import org.ioasis.memory.Outcome;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What a driver's side does in either format, however its chains are built. */
class DriverQueueTest {
    private static final long BASE = 0x10000;
    private static final long BUFFERS = 0x20000;
    private static final int SIZE = 8;
    private static final int ROUNDS = 50;

    /** A driver with a device that gives back all it finds, last one first. */
    private static final class Pair {
        private final FlatDma dma = new FlatDma(BASE, 0x1000);
        private final DriverQueue driver;
        private final DeviceQueue device;
        private final Chain[] chains = new Chain[SIZE];

        Pair(RingFormat format) {
            long bytes = format.driverBytes(SIZE);
            driver = format.newDriver(dma.memory(BASE, bytes), BASE, SIZE, false);
            device = format.newQueue(dma, SIZE);
            device.start(
                    SIZE,
                    driver.descAddress(),
                    driver.driverAddress(),
                    driver.deviceAddress(),
                    false,
                    false);
            for (int i = 0; i < SIZE; i++) {
                chains[i] = new Chain(SIZE);
            }
        }

        int serve() {
            driver.expose();
            dma.enter();
            int count = 0;
            while (device.pop(chains[count]) == Pop.GOT) {
                count++;
            }
            for (int i = count - 1; i >= 0; i--) {
                device.push(chains[i], chains[i].writableLength());
            }
            assertThat(device.publish()).isEqualTo(Outcome.OK);
            dma.leave();
            return count;
        }
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void aRequestThatIsOfferedInOneStepIsTheSameAsOneInParts(RingFormat format) {
        Pair parts = new Pair(format);
        Pair whole = new Pair(format);
        int served = 0;
        for (int round = 0; round < ROUNDS; round++) {
            for (int i = 0; i <= round % (SIZE / 2); i++) {
                long at = BUFFERS + 0x100L * i;
                assertThat(whole.driver.begin()).isEqualTo(parts.driver.begin());
                parts.driver.readable(at, 36 + i);
                parts.driver.writable(at + 0x80, 4 + i);
                parts.driver.offer();
                whole.driver.offer(at, 36 + i, at + 0x80, 4 + i);
            }
            int each = parts.serve();
            assertThat(whole.serve()).isEqualTo(each).isEqualTo(round % (SIZE / 2) + 1);
            served += each;
            long bytes = format.driverBytes(SIZE);
            assertThat(whole.dma.memory(BASE, bytes).mismatch(parts.dma.memory(BASE, bytes)))
                    .as("round %d", round)
                    .isEqualTo(-1);
            for (int i = 0; i < each; i++) {
                int name = parts.driver.take();
                assertThat(whole.driver.take()).isEqualTo(name).isNotNegative();
                assertThat(whole.driver.written())
                        .isEqualTo(parts.driver.written())
                        .isEqualTo(4 + each - 1 - i);
            }
            assertThat(whole.driver.take()).isEqualTo(DriverQueue.NONE);
        }
        assertThat(served).isGreaterThan(ROUNDS);
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void aRequestInOneStepNeedsRoomForTwoAndAChainWithoutBuffers(RingFormat format) {
        DriverQueue driver = new Pair(format).driver;
        int _ = driver.begin();
        driver.readable(BUFFERS, 1);
        assertThatIllegalStateException().isThrownBy(() -> driver.offer(BUFFERS, 1, BUFFERS, 1));
        driver.offer();
        for (int i = 0; i < SIZE / 2 - 1; i++) {
            int _ = driver.begin();
            driver.offer(BUFFERS, 1, BUFFERS, 1);
        }
        int _ = driver.begin();
        assertThatIllegalStateException().isThrownBy(() -> driver.offer(BUFFERS, 1, BUFFERS, 1));
        assertThat(driver.hasRoom(1)).isTrue();
        driver.writable(BUFFERS, 1);
        driver.offer();
        assertThat(driver.hasRoom(1)).isFalse();
    }
}
