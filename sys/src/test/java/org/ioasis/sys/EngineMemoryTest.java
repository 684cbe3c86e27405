// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

final class EngineMemoryTest {
    @Test
    void sizeThatIsNotPositiveIsRefused() {
        assertThatThrownBy(() -> EngineMemory.reserve(0))
                .isInstanceOf(ErrnoException.class)
                .hasMessageContaining("EINVAL");
    }

    @Test
    void sizeBeyondAllAddressesIsRefused() {
        assertThatThrownBy(() -> EngineMemory.reserve(1L << 62))
                .isInstanceOf(ErrnoException.class)
                .hasMessageContaining("ENOMEM");
    }

    @Test
    void memoryIsClearAlignedAndHoldsWhatIsWritten() throws ErrnoException {
        try (EngineMemory memory = EngineMemory.reserve(1 << 20)) {
            long last = memory.first() + memory.size() - 1;
            assertThat(memory.first() % 512).isZero();
            assertThat(memory.first()).isNotZero();
            assertThat(memory.size()).isEqualTo((1 << 20) / 8);
            assertThat(EngineMemory.get(memory.first())).isZero();
            assertThat(EngineMemory.getAcquire(last)).isZero();

            EngineMemory.setRelease(last, -2);
            EngineMemory.setRelease(last - 1, 7);

            assertThat(EngineMemory.get(last)).isEqualTo(-2);
            assertThat(EngineMemory.getAcquire(last - 1)).isEqualTo(7);
            EngineMemory.clear(last, 1);
            assertThat(EngineMemory.get(last)).isZero();
            assertThat(EngineMemory.get(last - 1)).isEqualTo(7);
        }
    }

    @Test
    void largeReservationCostsNothingBeforeItIsWritten() throws ErrnoException {
        try (EngineMemory memory = EngineMemory.reserve(1L << 40)) {
            EngineMemory.setRelease(memory.first() + (1L << 36), 1);

            assertThat(EngineMemory.get(memory.first() + (1L << 36))).isEqualTo(1);
        }
    }

    @Test
    void closingTwiceIsAsGoodAsOnce() throws ErrnoException {
        EngineMemory memory = EngineMemory.reserve(4096);

        memory.close();
        memory.close();
    }
}
