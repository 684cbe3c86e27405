// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommu.Machine.RAM;
import static org.ioasis.iommu.Machine.byteAt;
import static org.ioasis.iommu.mapping.MapFlags.READ;
import static org.ioasis.iommu.mapping.MapFlags.WRITE;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Lease;
import org.ioasis.memory.Outcome;
import org.junit.jupiter.api.Test;

/**
 * What is left to who is attached to nothing, when the rule changes and when the IOMMU is reset.
 */
class BypassTest {
    private final Machine m = new Machine(Machine.STRICT.toBuilder().bypassAtStart(true).build());
    private final Endpoint one = m.plug(1);
    private final Dma dma = m.dma(one);

    private Outcome write(long address) {
        dma.enter();
        try {
            return dma.write(address, MemorySegment.ofArray(new byte[] {1, 2, 3, 4}), 0, 4);
        } finally {
            dma.leave();
        }
    }

    @Test
    void whenBypassIsOffNoSectionUnderItIsOpen() throws InterruptedException {
        Guard other = m.guards.open();
        CountDownLatch entered = new CountDownLatch(1);
        AtomicBoolean isOver = new AtomicBoolean();
        Thread device =
                Thread.ofPlatform()
                        .start(() -> {
                            other.enter();
                            entered.countDown();
                            for (int i = 0; i < 1_000_000; i++) {
                                Thread.onSpinWait();
                            }
                            isOver.set(true);
                            other.leave();
                        });
        entered.await();

        m.iommu.bypass(false);

        assertThat(isOver).isTrue();
        device.join();
    }

    @Test
    void whenBypassIsOffLeasesUnderItAreTakenBackAndOthersNot() {
        m.plug(2);
        m.attach(2, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        Lease bypassing = m.pin(dma, RAM, 1);
        Lease mapped = m.pin(m.dma(requireNonNull(m.iommu.endpoint(2))), 0, 1);

        m.iommu.bypass(false);

        assertThat(bypassing.isRevoked()).isTrue();
        assertThat(mapped.isRevoked()).isFalse();
        mapped.close();
    }

    @Test
    void theNextSectionIsUnderTheNewRule() {
        assertThat(m.access(dma, RAM, Access.READ)).isEqualTo(Outcome.OK);

        m.iommu.bypass(false);

        assertThat(m.access(dma, RAM, Access.READ)).isEqualTo(Outcome.FAULT);
    }

    @Test
    void betweenTheResetOfTheIommuAndThatOfARunningDeviceNotAByteChanges() {
        m.attach(1, 7);
        // The addresses that its driver gave it are addresses of memory, too.
        m.map(7, RAM, RAM + 0xfff, RAM + 0x8000, READ | WRITE);
        dma.deviceStarted();
        assertThat(write(RAM)).isEqualTo(Outcome.OK);

        m.systemReset();

        assertThat(m.iommu.isBypassing()).isTrue();
        for (int i = 0; i < 16; i++) {
            assertThat(write(RAM + i * 0x100L)).isEqualTo(Outcome.FAULT);
        }
        assertThat(m.faults.recent().getLast().explanation())
                .isEqualTo("the IOMMU has been reset and the device behind the endpoint has not");
        dma.deviceReset();
        for (int i = 0; i < 0x1000; i++) {
            assertThat(m.read(dma, RAM + i)).isEqualTo(byteAt(RAM + i));
        }
        assertThat(write(RAM)).as("as firmware does at the next boot").isEqualTo(Outcome.OK);
    }

    @Test
    void aDeviceThatDidNotRunGoesOnByBypass() {
        dma.deviceStarted();
        dma.deviceReset();

        m.systemReset();

        assertThat(m.read(dma, RAM)).isEqualTo(byteAt(RAM));
    }

    @Test
    void whoIsAttachedAgainReachesWhatItsDriverMaps() {
        dma.deviceStarted();
        m.reset();
        assertThat(m.read(dma, RAM)).isEqualTo(Outcome.FAULT);

        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);

        assertThat(m.read(dma, 0)).isEqualTo(byteAt(RAM));
        m.detach(1, 7);
        assertThat(m.read(dma, RAM)).as("still not reset").isEqualTo(Outcome.FAULT);
    }
}
