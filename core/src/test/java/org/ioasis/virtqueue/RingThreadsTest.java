// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.ioasis.memory.Outcome;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.MockDriver.Used;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Driver and device on threads of their own, each asleep until the other notifies it: a
 * notification that is suppressed wrongly, or an index seen before what it stands for, shows as a
 * sleep without end or as a wrong number (virtio 1.4, 2.7.13). Finds wrong decisions always; a
 * missing fence alone opens a window so small that this test may pass without it.
 */
class RingThreadsTest {
    private static final long BASE = 0x10000;
    private static final int SIZE = 4;
    private static final int CHAINS = 60_000;

    private final Semaphore kicks = new Semaphore(0);
    private final Semaphore interrupts = new Semaphore(0);
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void noNotificationIsLostByFlags(RingFormat format) throws InterruptedException {
        run(format, false);
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void noNotificationIsLostByIndex(RingFormat format) throws InterruptedException {
        run(format, true);
    }

    private void run(RingFormat format, boolean eventIdx) throws InterruptedException {
        FlatDma dma = new FlatDma(BASE, 0x10000);
        MockDriver driver =
                new MockDriver(
                        format, dma.memory(BASE, MockDriver.footprint(SIZE)), BASE, SIZE, eventIdx);
        DeviceQueue queue = format.newQueue(dma, SIZE);
        queue.start(
                SIZE,
                driver.descAddress(),
                driver.driverAddress(),
                driver.deviceAddress(),
                true,
                eventIdx);
        Thread device =
                new Thread(
                        () -> {
                            try {
                                serve(dma, queue);
                            } catch (InterruptedException | RuntimeException | Error e) {
                                failure.set(e);
                            }
                        },
                        "device");
        device.start();
        int sent = 0;
        int back = 0;
        while (back < CHAINS) {
            boolean added = false;
            while (sent < CHAINS && driver.hasRoom(1)) {
                // The length says which chain it is.
                driver.add(Layout.INDIRECT, List.of(new Buffer(BASE, sent + 1L, true)));
                sent++;
                added = true;
            }
            if (added && driver.expose()) {
                kicks.release();
            }
            Used used = driver.poll();
            if (used == null) {
                driver.wantInterrupt(true);
                used = driver.poll();
                if (used == null) {
                    assertThat(interrupts.tryAcquire(20, TimeUnit.SECONDS))
                            .as("interrupt after %d of %d, device: %s", back, sent, failure.get())
                            .isTrue();
                    continue;
                }
            }
            driver.wantInterrupt(false);
            while (used != null) {
                back++;
                assertThat(used.written()).isEqualTo(back);
                used = driver.poll();
            }
        }
        device.join(20_000);
        assertThat(device.isAlive()).isFalse();
        assertThat(failure.get()).isNull();
    }

    private void serve(FlatDma dma, DeviceQueue queue) throws InterruptedException {
        Chain chain = new Chain(SIZE);
        int served = 0;
        while (served < CHAINS) {
            dma.enter();
            Pop pop = queue.pop(chain);
            boolean interrupt = false;
            if (pop == Pop.GOT) {
                served++;
                queue.push(chain, chain.writableLength());
                assertThat(queue.publish()).isEqualTo(Outcome.OK);
                interrupt = queue.shouldInterrupt();
            } else {
                assertThat(pop).isEqualTo(Pop.EMPTY);
                pop = queue.resumeKicks();
            }
            dma.leave();
            if (interrupt) {
                interrupts.release();
            }
            if (pop == Pop.EMPTY) {
                assertThat(kicks.tryAcquire(20, TimeUnit.SECONDS)).as("kick").isTrue();
            }
        }
    }
}
