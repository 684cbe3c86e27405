// SPDX-License-Identifier: Apache-2.0
package org.ioasis.testkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.Closeable;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.machine.FunctionPort;
import org.ioasis.memory.Outcome;
import org.ioasis.pci.DmaFunction;
import org.ioasis.pci.FunctionLayout;
import org.ioasis.spec.Pci;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** A function of somebody's own and its guest, in one thread. */
class MockGuestTest {
    private static final int BYTES = 1 << 20;
    private static final long IOVA = 0xffff_f000_0000_0000L;

    /** Moves {@code size} bytes between memory and its buffer, as its registers say. */
    private static final class Mover extends DmaFunction implements Closeable {
        private static final FunctionLayout LAYOUT =
                FunctionLayout.builder(0x1234, 1).bar(0, 64).msix(1, 2).build();

        private final MemorySegment buffer = MemorySegment.ofArray(new byte[BYTES]);
        private final FunctionPort port;
        private final List<String> ticks = new ArrayList<>();
        private long size;
        private Outcome outcome = Outcome.OK;
        private boolean isClosed;

        Mover(FunctionPort port) {
            super(LAYOUT, port.dma());
            this.port = port;
        }

        @Override
        protected long readRegister(int bar, long offset, int length) {
            return size;
        }

        @Override
        protected void writeRegister(int bar, long offset, int length, long value) {
            switch ((int) offset) {
                case 0 -> size = value;
                case 8 -> outcome = readMemory(value, buffer, 0, size);
                case 16 -> outcome = writeMemory(value, buffer, 0, size);
                default -> port.io().execute(() -> port.tasks().execute(() -> raise((int) value)));
            }
        }

        @Override
        protected void restart() {
            size = 0;
        }

        @Override
        public boolean needsTick() {
            return size == 99;
        }

        @Override
        public void tick(long nowNanos) {
            ticks.add(Long.toString(nowNanos));
        }

        @Override
        public void close() {
            isClosed = true;
        }
    }

    private final MockGuest guest;

    MockGuestTest() throws IOException {
        guest = new MockGuest(BYTES, Mover::new);
    }

    @AfterEach
    void close() throws IOException {
        guest.close();
    }

    private Outcome move(long register, long iova, long size) {
        guest.write(0, 0, 8, size);
        guest.write(0, register, 8, iova);
        return ((Mover) guest.function()).outcome;
    }

    private Outcome read(long iova, long size) {
        return move(8, iova, size);
    }

    private Outcome write(long iova, long size) {
        return move(16, iova, size);
    }

    @Test
    void functionReachesWhatIsMappedAndTheRestIsAFault() {
        guest.enable();
        guest.map(IOVA, 0x3000, 0x1000, MapFlags.READ);
        guest.map(IOVA + 0x1000, 0x8000, 0x1000, MapFlags.READ | MapFlags.WRITE);
        guest.memory().setString(0x3ffc, "abcd");
        guest.memory().setString(0x8000, "efgh");

        assertThat(read(IOVA + 0xffc, 8)).isEqualTo(Outcome.OK);
        assertThat(write(IOVA + 0x1800, 8)).isEqualTo(Outcome.OK);
        assertThat(guest.memory().getString(0x8800)).isEqualTo("abcdefgh");

        assertThat(write(IOVA, 1)).isEqualTo(Outcome.FAULT);
        assertThat(read(IOVA + 0x2000, 1)).isEqualTo(Outcome.FAULT);
        assertThat(read(0x3000, 1)).isEqualTo(Outcome.FAULT);
        guest.unmap(IOVA, 0x1000);
        assertThat(read(IOVA, 1)).isEqualTo(Outcome.FAULT);
        assertThat(guest.faults())
                .extracting(Fault::address)
                .containsExactly(IOVA, IOVA + 0x2000, 0x3000L, IOVA);
    }

    @Test
    void theFirstFaultsAreKeptHoweverManyThereAre() {
        guest.enable();
        for (int i = 0; i < 100; i++) {
            assertThat(read(IOVA + i * 0x1000L, 1)).isEqualTo(Outcome.FAULT);
        }
        assertThat(guest.faults()).hasSize(64);
        assertThat(guest.faults().getLast().address()).isEqualTo(IOVA + 63 * 0x1000L);
    }

    @Test
    void functionWithoutMasterTouchesNothing() {
        guest.map(0x1000, 0x1000, 0x1000, MapFlags.READ);
        assertThat(read(0x1000, 1)).isEqualTo(Outcome.REFUSED);
        guest.enable();
        assertThat(read(0x1000, 1)).isEqualTo(Outcome.OK);
        guest.configWrite(Pci.COMMAND, 2, Pci.COMMAND_MEMORY);
        assertThat(read(0x1000, 1)).isEqualTo(Outcome.REFUSED);
        assertThat(guest.faults()).isEmpty();
    }

    @Test
    void accessOfManyPiecesIsOneAndNoneOfThemBeginsBehindTheEnd() {
        guest.enable();
        guest.map(0x10_0000, 0, BYTES, MapFlags.READ | MapFlags.WRITE);
        for (int i = 0; i < BYTES; i += 4) {
            guest.memory().set(ValueLayout.JAVA_INT, i, i);
        }
        assertThat(read(0x10_0000, BYTES)).isEqualTo(Outcome.OK);
        guest.memory().fill((byte) 0);
        assertThat(write(0x10_0000, BYTES)).isEqualTo(Outcome.OK);
        assertThat(guest.memory().get(ValueLayout.JAVA_INT, BYTES - 4)).isEqualTo(BYTES - 4);

        // The last 256 KiB of all addresses, and the first: a piece each.
        guest.map(-(256L << 10), 0, 256 << 10, MapFlags.READ);
        guest.map(0, 0x8_0000, 0x1000, MapFlags.READ);
        assertThat(read(-(256L << 10), 256 << 10)).isEqualTo(Outcome.OK);
        assertThat(read(-(256L << 10), (256 << 10) + 16)).isEqualTo(Outcome.FAULT);
        assertThat(read(0, 0)).isEqualTo(Outcome.OK);
    }

    @Test
    void whatIsLeftForLaterIsDoneInOrderWhenTheTestSaysSo() {
        guest.enable();
        guest.write(0, 24, 4, 1);
        guest.write(0, 24, 4, 0);
        guest.write(0, 24, 4, 1);
        assertThat(guest.interrupts(1)).isZero();
        guest.run();
        assertThat(guest.interrupts(1)).isEqualTo(2);
        assertThat(guest.interrupts(0)).isEqualTo(1);
    }

    @Test
    void interruptBeforeTheDriverIsReadyComesOnceItIs() {
        guest.write(0, 24, 4, 1);
        guest.run();
        assertThat(guest.interrupts(1)).isZero();
        guest.configWrite(Pci.COMMAND, 2, 0);
        assertThat(guest.interrupts(1)).isZero();
        guest.reset();
        guest.enable();
        assertThat(guest.interrupts(1)).as("forgotten by the reset").isZero();
    }

    @Test
    void timeGoesWhenTheTestSaysSoAndIsToldToWhoWantsIt() {
        Mover mover = (Mover) guest.function();
        guest.tick(5);
        guest.write(0, 0, 8, 99);
        guest.tick(7);
        assertThat(mover.ticks).containsExactly("12");
    }

    @Test
    void whatIsNotThereIsRefusedByName() throws IOException {
        assertThatThrownBy(() -> guest.read(0, 61, 4))
                .hasMessage("4 bytes at 0x3d of BAR 0 are not there");
        assertThatThrownBy(() -> guest.read(2, 0, 4))
                .hasMessage("4 bytes at 0x0 of BAR 2 are not there");
        assertThatThrownBy(() -> guest.configWrite(254, 4, 0))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> guest.map(0x1001, 0, 0x1000, MapFlags.READ))
                .hasMessage("MAP was answered RANGE");
        guest.map(0, 0, 0x2000, MapFlags.READ);
        assertThatThrownBy(() -> guest.unmap(0, 0x1000)).hasMessage("UNMAP was answered RANGE");
        assertThatThrownBy(() ->
                        new MockGuest(
                                4096,
                                _ -> {
                                    throw new IOException("no such sensor");
                                }))
                .hasMessage("no such sensor");
        guest.close();
        assertThat(((Mover) guest.function()).isClosed).isTrue();
    }
}
