// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicReference;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.pci.SharedMemoryFunction;
import org.ioasis.virtqueue.RingFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What is said of a program's device that reaches for what the program has not mapped. */
@Timeout(60)
class RefusedAccessTest {
    @Test
    void anAccessThatIsRefusedIsToldWithItsDeviceAndItsReason() throws Exception {
        BlockingQueue<String> told = new LinkedBlockingQueue<>();
        AtomicReference<Dma> way = new AtomicReference<>();
        try (ProgramMachine machine =
                new ProgramMachine(
                        "test",
                        IommufdNode.builder().build(),
                        IdlePolicy.EVENT_DRIVEN,
                        RingFormat.SPLIT)) {
            machine.add(
                    8,
                    dma -> {
                        way.set(dma);
                        return new SharedMemoryFunction(4096, 1);
                    });
            machine.onRefused(told::add);
            machine.start();
            machine.loop().execute(() -> told.add(access(way.get()).name()));

            List<String> both = List.of(told.take(), told.take());

            assertThat(both.getFirst()).isEqualTo("FAULT");
            assertThat(both.getLast())
                    .startsWith("/dev/vfio/devices/vfio0, endpoint 0x8, WRITE at 0x5000: ")
                    .contains("the endpoint is attached to no domain");
        }
    }

    private static Outcome access(Dma dma) {
        try (Arena arena = Arena.ofConfined()) {
            dma.enter();
            try {
                return dma.write(0x5000, arena.allocate(8), 0, 8);
            } finally {
                dma.leave();
            }
        }
    }
}
