// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.Ivshmem.DOORBELL;
import static org.ioasis.spec.Ivshmem.IV_POSITION;
import static org.ioasis.spec.Ivshmem.MEMORY_BAR;
import static org.ioasis.spec.Ivshmem.MSIX_BAR;
import static org.ioasis.spec.Ivshmem.REGISTER_BAR;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.spec.Ivshmem;
import org.ioasis.spec.Pci;
import org.junit.jupiter.api.Test;

/** Memory as a function, with its doorbell, through the accesses of a bus. */
class SharedMemoryFunctionTest {
    private static final int BYTES = 0x4000;
    private static final int MSIX_FLAGS = Pci.HEADER_END + Pci.MSIX_FLAGS;

    private final SharedMemoryFunction function = new SharedMemoryFunction(BYTES, 3);
    private final List<Integer> raised = new ArrayList<>();

    private void listen() {
        function.vectors(raised::add);
        function.configWrite(Pci.COMMAND, 2, Pci.COMMAND_MASTER | Pci.COMMAND_MEMORY);
        function.configWrite(MSIX_FLAGS, 2, Pci.MSIX_FLAGS_ENABLE);
    }

    private void ring(int peer, int vector) {
        function.barWrite(
                REGISTER_BAR, DOORBELL, 4, (long) peer << Ivshmem.DOORBELL_PEER_SHIFT | vector);
    }

    @Test
    void itIsFoundAsWhatItIs() {
        assertThat(function.configRead(Pci.VENDOR_ID, 4)).isEqualTo(0x1110_1af4);
        assertThat(function.configRead(Pci.REVISION_ID, 4))
                .isEqualTo(Pci.CLASS_MEMORY_RAM << 8 | 1);
        function.configWrite(Pci.BASE_ADDRESS_0 + 4 * MEMORY_BAR, 4, -1);
        assertThat(function.configRead(Pci.BASE_ADDRESS_0 + 4 * MEMORY_BAR, 4)).isEqualTo(-BYTES);
        assertThat(function.configRead(MSIX_FLAGS, 2)).as("one less than there are").isEqualTo(2);
        List<Long> sizes = new ArrayList<>();
        List<Boolean> areMemory = new ArrayList<>();
        for (int bar = 0; bar < Pci.BAR_COUNT; bar++) {
            sizes.add(function.barSize(bar));
            areMemory.add(function.isBarMemory(bar));
        }
        assertThat(sizes).containsExactly(256L, 0x1000L, (long) BYTES, 0L, 0L, 0L);
        assertThat(areMemory)
                .as("MSI-X least")
                .containsExactly(false, false, true, false, false, false);
    }

    @Test
    void theDoorbellRaisesAVectorOfTheOnlyPeer() {
        listen();
        assertThat(function.barRead(REGISTER_BAR, IV_POSITION, 4)).isZero();
        ring(0, 2);
        ring(0, 3);
        ring(1, 1);
        function.barWrite(REGISTER_BAR, DOORBELL, 2, 1);
        function.barWrite(REGISTER_BAR, DOORBELL - 1, 4, 1);
        assertThat(raised).containsExactly(2);
        function.barWrite(MSIX_BAR, Pci.MSIX_ENTRY_SIZE + Pci.MSIX_ENTRY_VECTOR_CTRL, 4, 1);
        ring(0, 1);
        assertThat(raised).as("masked").containsExactly(2);
        function.barWrite(MSIX_BAR, Pci.MSIX_ENTRY_SIZE + Pci.MSIX_ENTRY_VECTOR_CTRL, 4, 0);
        assertThat(raised).containsExactly(2, 1);
        function.configWrite(Pci.COMMAND, 2, 0);
        ring(0, 0);
        assertThat(raised).as("no master").containsExactly(2, 1);
    }

    @Test
    void theMemoryIsWhereItIsToldToBeAndGoesOnThere() {
        function.barWrite(MEMORY_BAR, BYTES - 8, 8, 0x0102030405060708L);
        assertThat(function.barRead(MEMORY_BAR, BYTES - 4, 2)).isEqualTo(0x0304);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment mapped = arena.allocate(BYTES, 8);
            function.barMemory(MEMORY_BAR, mapped);
            assertThat(mapped.get(JAVA_LONG, BYTES - 8)).isEqualTo(0x0102030405060708L);
            mapped.set(JAVA_LONG, 0, 42);
            assertThat(function.barRead(MEMORY_BAR, 0, 8)).isEqualTo(42);
            function.barMemory(MEMORY_BAR, null);
        }
        assertThat(function.barRead(MEMORY_BAR, 0, 8)).isEqualTo(42);
        function.reset();
        assertThat(function.barRead(MEMORY_BAR, 0, 8)).isZero();
        assertThat(function.barRead(MEMORY_BAR, BYTES - 8, 8)).isZero();
    }
}
