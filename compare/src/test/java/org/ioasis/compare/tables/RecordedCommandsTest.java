// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.HashSet;
import java.util.Set;
import org.ioasis.iommufd.Handled;
import org.ioasis.spec.VtdQueue;
import org.ioasis.vtd.QueuedInvalidations;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * All commands that Linux gave to QEMU's IOMMUs, in their order among the translations: each is
 * understood by our decoder, and takes out of a cache what a plain model of it has taken out.
 */
class RecordedCommandsTest {
    private static final ValueLayout.OfLong WORD =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final PlainCache cache = new PlainCache();
    private final LiveTranslations model = new LiveTranslations();
    private final long[] types = new long[VtdQueue.TYPE_MASK + 1];
    private long filled;
    private long commands;

    private final QueuedInvalidations decoder =
            new QueuedInvalidations(
                    cache,
                    new QueuedInvalidations.Rest() {
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

    @ParameterizedTest
    @EnumSource(names = "VTD_.*", mode = EnumSource.Mode.MATCH_ALL)
    void everyCommandOfLinuxIsDecodedAndLeavesTheCacheAsTheModel(Subject subject) throws Exception {
        Recording recording = RecordedTablesTest.recording(subject);
        for (TraceEvent event : recording.events()) {
            model.take(event);
            switch (event) {
                case TraceEvent.Translated translated -> fill(translated);
                case TraceEvent.Command command -> {
                    carryOut(command);
                    assertThat(cache.entries()).as("after %s", command).isEqualTo(expected());
                }
                default -> {}
            }
        }
        System.out.printf(
                "%s: %d commands decoded (%d waits), %d translations cached, 0 differences%n",
                subject.label(), commands, types[VtdQueue.WAIT], filled);
        assertThat(commands).isGreaterThan(500);
        assertThat(filled).isGreaterThan(500);
        assertThat(types[VtdQueue.WAIT]).isGreaterThan(200);
        int invalidation =
                subject == Subject.VTD_FIRST_STAGE ? VtdQueue.PASID_IOTLB : VtdQueue.IOTLB;
        assertThat(types[invalidation]).isGreaterThan(200);
    }

    private void fill(TraceEvent.Translated told) {
        assertThat(model.domain(told.device())).isNotEqualTo(TraceEvent.UNTOLD);
        cache.put(entry(told.device(), told.iova(), told.pageLg2()));
        filled++;
    }

    private PlainCache.Entry entry(int device, long iova, int pageLg2) {
        long last = iova | ((1L << pageLg2) - 1);
        return new PlainCache.Entry(model.domain(device), 0, device, iova, last);
    }

    private Set<PlainCache.Entry> expected() {
        Set<PlainCache.Entry> entries = new HashSet<>();
        model.live().forEach(one -> entries.add(entry(one.device(), one.iova(), one.pageLg2())));
        return entries;
    }

    private void carryOut(TraceEvent.Command command) {
        MemorySegment entry = MemorySegment.ofArray(new byte[2 * VtdQueue.SIZE]);
        entry.set(WORD, 0, command.low());
        entry.set(WORD, Long.BYTES, command.high());
        long handled = decoder.run(entry, 0, 2 * VtdQueue.SIZE, 1);
        assertThat(Handled.refusal(handled)).as("%s", command).isNull();
        commands++;
        types[(int) command.low() & VtdQueue.TYPE_MASK]++;
    }
}
