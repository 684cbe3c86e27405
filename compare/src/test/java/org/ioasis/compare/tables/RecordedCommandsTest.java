// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommufd.Handled;
import org.ioasis.spec.VtdQueue;
import org.ioasis.vtd.QueuedInvalidations;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * All commands that Linux gave to QEMU's VT-d, in their order among the translations: each is
 * understood by our decoder, and leaves of our IOTLB what a plain model of it says.
 */
class RecordedCommandsTest {
    private static final ValueLayout.OfLong WORD =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private CacheBesideModel caches = new CacheBesideModel(domain -> 0);
    private final long[] types = new long[VtdQueue.TYPE_MASK + 1];
    private long commands;

    private QueuedInvalidations decoder() {
        Iotlb cache = caches.cache();
        return new QueuedInvalidations(
                cache,
                new QueuedInvalidations.Rest() {
                    @Override
                    public void secondStage(int domain, long first, long last) {
                        cache.secondRange(domain, first, last);
                    }

                    @Override
                    public void contexts(int domain, int device, int space) {
                        // Whatever they led to, as in the model.
                        cache.all();
                    }

                    @Override
                    public void forget(int device, int space, long first, long last) {
                        throw new AssertionError("no device here keeps translations");
                    }

                    @Override
                    public void interrupts() {}

                    @Override
                    public void wait(long word0, long address) {}
                });
    }

    @ParameterizedTest
    @EnumSource(names = "VTD_.*", mode = EnumSource.Mode.MATCH_ALL)
    void everyCommandOfLinuxIsDecodedAndLeavesTheCacheAsTheModel(Subject subject) throws Exception {
        int stage = subject == Subject.VTD_FIRST_STAGE ? Iotlb.FIRST : Iotlb.SECOND;
        caches = new CacheBesideModel(domain -> Iotlb.tag(domain, 0, stage));
        QueuedInvalidations decoder = decoder();
        Recording recording = RecordedTablesTest.recording(subject);
        long differences = 0;
        for (TraceEvent event : recording.events()) {
            caches.take(event);
            if (event instanceof TraceEvent.Command command) {
                carryOut(decoder, command);
                differences += caches.differences();
            }
        }
        System.out.printf(
                "%s: %d commands decoded (%d waits), %d translations cached, %d differences%n",
                subject.label(), commands, types[VtdQueue.WAIT], caches.filled(), differences);
        assertThat(differences).isZero();
        assertThat(commands).isGreaterThan(500);
        assertThat(caches.filled()).isGreaterThan(500);
        assertThat(types[VtdQueue.WAIT]).isGreaterThan(200);
        int invalidation = stage == Iotlb.FIRST ? VtdQueue.PASID_IOTLB : VtdQueue.IOTLB;
        assertThat(types[invalidation]).isGreaterThan(200);
    }

    private void carryOut(QueuedInvalidations decoder, TraceEvent.Command command) {
        MemorySegment entry = MemorySegment.ofArray(new byte[2 * VtdQueue.SIZE]);
        entry.set(WORD, 0, command.low());
        entry.set(WORD, Long.BYTES, command.high());
        long handled = decoder.run(entry, 0, 2 * VtdQueue.SIZE, 1);
        assertThat(Handled.refusal(handled)).as("%s", command).isNull();
        commands++;
        types[(int) command.low() & VtdQueue.TYPE_MASK]++;
    }
}
