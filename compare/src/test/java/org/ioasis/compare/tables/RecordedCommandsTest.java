// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.Map;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.pagetable.Rights;
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

    /** Many more than are alive at a time, so that none has to go for another. */
    private static final int ENTRIES = 1 << 16;

    /** A translation by what it is looked up with. */
    private record Place(int domain, long iova) {}

    private final Iotlb cache = new Iotlb(ENTRIES);
    private final LiveTranslations model = new LiveTranslations();

    /** What was ever cached, and where it last led. */
    private final Map<Place, Long> known = new HashMap<>();

    private final long[] types = new long[VtdQueue.TYPE_MASK + 1];
    private int stage;
    private long filled;
    private long commands;

    private final QueuedInvalidations decoder =
            new QueuedInvalidations(
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

    @ParameterizedTest
    @EnumSource(names = "VTD_.*", mode = EnumSource.Mode.MATCH_ALL)
    void everyCommandOfLinuxIsDecodedAndLeavesTheCacheAsTheModel(Subject subject)
            throws Exception {
        stage = subject == Subject.VTD_FIRST_STAGE ? Iotlb.FIRST : Iotlb.SECOND;
        Recording recording = RecordedTablesTest.recording(subject);
        long differences = 0;
        for (TraceEvent event : recording.events()) {
            model.take(event);
            switch (event) {
                case TraceEvent.Translated translated -> fill(translated);
                case TraceEvent.Command command -> {
                    carryOut(command);
                    differences += differences();
                }
                default -> {}
            }
        }
        System.out.printf(
                "%s: %d commands decoded (%d waits), %d translations cached, %d differences%n",
                subject.label(), commands, types[VtdQueue.WAIT], filled, differences);
        assertThat(differences).isZero();
        assertThat(commands).isGreaterThan(500);
        assertThat(filled).isGreaterThan(500);
        assertThat(types[VtdQueue.WAIT]).isGreaterThan(200);
        int invalidation = stage == Iotlb.FIRST ? VtdQueue.PASID_IOTLB : VtdQueue.IOTLB;
        assertThat(types[invalidation]).isGreaterThan(200);
    }

    private long tag(int domain) {
        return Iotlb.tag(domain, 0, stage);
    }

    private void fill(TraceEvent.Translated told) {
        int domain = model.domain(told.device());
        assertThat(domain).isNotEqualTo(TraceEvent.UNTOLD);
        int lg2 = told.pageLg2();
        boolean isKept =
                cache.fill(
                        cache.epoch(),
                        tag(domain),
                        told.iova(),
                        told.output(),
                        Rights.READ,
                        lg2,
                        lg2,
                        false);
        assertThat(isKept).isTrue();
        known.put(new Place(domain, told.iova()), told.output());
        filled++;
    }

    /** How many of all places are found and should not be, or the other way round. */
    private long differences() {
        Map<Place, Long> expected = new HashMap<>();
        model.live()
                .forEach(one ->
                        expected.put(
                                new Place(model.domain(one.device()), one.iova()), one.output()));
        long differences = expected.keySet().stream().filter(p -> !known.containsKey(p)).count();
        for (Place place : known.keySet()) {
            long found = cache.find(tag(place.domain()), place.iova());
            Long output = expected.get(place);
            boolean isRight =
                    output == null
                            ? found == Iotlb.NONE
                            : found != Iotlb.NONE
                                    && Iotlb.output(found, place.iova()) == output;
            differences += isRight ? 0 : 1;
        }
        return differences;
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
