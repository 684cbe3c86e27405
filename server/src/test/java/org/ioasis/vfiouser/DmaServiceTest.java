// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VfioUser.*;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Lease;
import org.ioasis.memory.Outcome;
import org.ioasis.sys.UnixSocket;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** How long a device server's messages keep a guarded section open. */
class DmaServiceTest {
    /** What becomes of accesses is what a test wants; sections are counted. */
    private static final class CountedDma implements Dma {
        Outcome outcome = Outcome.OK;
        final List<Long> sections = new ArrayList<>();
        private boolean isOpen;
        private long bytes;

        @Override
        public void enter() {
            assertThat(isOpen).isFalse();
            isOpen = true;
            bytes = 0;
        }

        @Override
        public void leave() {
            assertThat(isOpen).isTrue();
            isOpen = false;
            sections.add(bytes);
        }

        private Outcome access(long length) {
            assertThat(isOpen).isTrue();
            bytes += length;
            return outcome;
        }

        @Override
        public Outcome read(long address, MemorySegment target, long at, long length) {
            return access(length);
        }

        @Override
        public Outcome write(long address, MemorySegment source, long at, long length) {
            return access(length);
        }

        @Override
        public Outcome readWords(long address, long[] words, int at, int length) {
            throw new UnsupportedOperationException();
        }

        @Override
        public Outcome writeWords(long address, long[] words, int from, int count) {
            throw new UnsupportedOperationException();
        }

        @Override
        public Outcome writeInt(long address, int value) {
            throw new UnsupportedOperationException();
        }

        @Override
        public long section() {
            throw new UnsupportedOperationException();
        }

        @Override
        public boolean isLong() {
            throw new UnsupportedOperationException();
        }

        @Override
        public void storeLong(long from, long value, boolean release) {
            throw new UnsupportedOperationException();
        }

        @Override
        public Outcome resolve(long address, long length, Access access) {
            throw new UnsupportedOperationException();
        }

        @Override
        public boolean isShort() {
            throw new UnsupportedOperationException();
        }

        @Override
        public int loadShort(boolean acquire) {
            throw new UnsupportedOperationException();
        }

        @Override
        public void storeShort(int value, boolean release) {
            throw new UnsupportedOperationException();
        }

        @Override
        public long loadLong(long from) {
            throw new UnsupportedOperationException();
        }

        @Override
        public MemorySegment segment() {
            throw new UnsupportedOperationException();
        }

        @Override
        public long offset() {
            throw new UnsupportedOperationException();
        }

        @Override
        public long reach() {
            throw new UnsupportedOperationException();
        }

        @Override
        public @Nullable Lease pin(long address, long length, Access access, long deadlineNanos) {
            throw new UnsupportedOperationException();
        }
    }

    private final CountedDma dma = new CountedDma();
    private final DmaService service = new DmaService(dma, () -> true);

    private void serve(int times, int count) throws Exception {
        UnixSocket[] pair = UnixSocket.pair();
        DeviceStream stream = new DeviceStream(pair[0]);
        MemorySegment message =
                MemorySegment.ofArray(
                        ScriptedDevice.access(
                                VFIO_USER_DMA_WRITE, 1, 0x1000, count, new byte[count]));
        Header header = Codec.header(message);
        for (int i = 0; i < times; i++) {
            assertThat(service.serve(header, message, 0, stream, false)).isTrue();
        }
        service.leave();
        service.leave();
        pair[0].close();
        pair[1].close();
    }

    @Test
    void sectionEndsWhenItHasCopiedItsBytesOrDoneItsAccesses() throws Exception {
        serve(DmaService.SECTION_ACCESSES + 1, 8);
        assertThat(dma.sections).containsExactly(8L * DmaService.SECTION_ACCESSES, 8L);

        dma.sections.clear();
        serve(5, DeviceStream.DATA_MAX);
        assertThat(dma.sections)
                .containsExactly(DmaService.SECTION_BYTES, (long) DeviceStream.DATA_MAX);
    }

    @Test
    void eachRefusalHasASectionOfItsOwnSoThatEachIsReported() throws Exception {
        dma.outcome = Outcome.FAULT;
        serve(3, 8);
        assertThat(dma.sections).containsExactly(8L, 8L, 8L);
        assertThat(service.counts().refused()).isEqualTo(3);
        assertThat(service.counts().writes()).isZero();
    }
}
