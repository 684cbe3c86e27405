// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommu.Machine.RAM;
import static org.ioasis.iommu.mapping.MapFlags.READ;
import static org.ioasis.iommu.mapping.MapFlags.WRITE;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.junit.jupiter.api.Test;

/** Who observes an IOMMU sees each piece of each access once, and each refusal. */
final class ObservedDmaTest {
    private final Machine m = new Machine(Machine.STRICT.toBuilder().bypassAtStart(true).build());
    private final List<String> seen = new ArrayList<>();
    private final Dma dma;

    ObservedDmaTest() {
        m.iommu.observe(
                new AccessObserver() {
                    @Override
                    public void accessed(
                            int endpoint,
                            int pasid,
                            long domain,
                            long first,
                            long length,
                            Access access,
                            long output) {
                        seen.add(
                                "%d.%d in %d %s 0x%x+0x%x to 0x%x"
                                        .formatted(
                                                endpoint, pasid, domain, access, first, length,
                                                output));
                    }

                    @Override
                    public void refused(
                            int endpoint,
                            int pasid,
                            long domain,
                            long first,
                            long length,
                            Access access,
                            FaultReason reason) {
                        seen.add(
                                "%d.%d in %d %s 0x%x+0x%x refused %s"
                                        .formatted(
                                                endpoint, pasid, domain, access, first, length,
                                                reason));
                    }

                    @Override
                    public void deviceStarted(int endpoint, int pasid) {
                        seen.add(endpoint + " starts");
                    }

                    @Override
                    public void deviceReset(int endpoint, int pasid) {
                        seen.add(endpoint + " reset");
                    }
                });
        dma = m.dma(m.plug(1));
    }

    private void read(long address, int length) {
        dma.enter();
        try {
            var _ = dma.read(address, MemorySegment.ofArray(new byte[length]), 0, length);
        } finally {
            dma.leave();
        }
    }

    @Test
    void eachPieceIsToldOnceWithWhereItWent() {
        m.attach(1, 7);
        m.map(7, 0x1000, 0x1fff, RAM, READ | WRITE);
        m.map(7, 0x2000, 0x2fff, RAM + 0x8000, READ);
        m.map(7, 0x4000, 0x4fff, RAM + 0x1000, READ);

        read(0x1800, 0x1000);
        read(0x2ff0, 0x20);
        dma.enter();
        assertThat(dma.peek(0x9000, 8)).isNotNull(); // of no consequence
        assertThat(dma.resolveWhole(0x1800, 0x1000)).isFalse();
        assertThat(dma.resolveWhole(0x1800, 8)).isTrue();
        dma.leave();

        assertThat(seen)
                .containsExactly(
                        "1.-1 in 7 READ 0x1800+0x800 to 0x100800",
                        "1.-1 in 7 READ 0x2000+0x800 to 0x108000",
                        "1.-1 in 7 READ 0x2ff0+0x10 to 0x108ff0",
                        "1.-1 in 7 READ 0x3000+0x10 refused MAPPING",
                        "1.-1 in 7 READ 0x1800+0x8 to 0x100800");
    }

    @Test
    void whatIsReadAndWrittenAsWordsOverABorderIsToldOnceAndArrives() {
        m.attach(1, 7);
        m.map(7, 0x1000, 0x1fff, RAM, READ | WRITE);
        m.map(7, 0x2000, 0x2fff, RAM + 0x8000, READ | WRITE);
        long[] written = {0x0123_4567_89ab_cdefL, 0xfedc_ba98_7654_3210L};
        long[] found = new long[2];

        dma.enter();
        assertThat(dma.writeWords(0x1ff4, written, 0, 2)).isEqualTo(Outcome.OK);
        assertThat(dma.readWords(0x1ff4, found, 0, 16)).isEqualTo(Outcome.OK);
        assertThat(dma.writeInt(0x1ffd, 0x1122_3344)).isEqualTo(Outcome.OK);
        dma.leave();

        assertThat(found).isEqualTo(written);
        assertThat(seen)
                .containsExactly(
                        "1.-1 in 7 WRITE 0x1ff4+0xc to 0x100ff4",
                        "1.-1 in 7 WRITE 0x2000+0x4 to 0x108000",
                        "1.-1 in 7 READ 0x1ff4+0xc to 0x100ff4",
                        "1.-1 in 7 READ 0x2000+0x4 to 0x108000",
                        "1.-1 in 7 WRITE 0x1ffd+0x3 to 0x100ffd",
                        "1.-1 in 7 WRITE 0x2000+0x1 to 0x108000");
        dma.enter();
        assertThat(dma.readWords(0x1ff4, found, 0, 16)).isEqualTo(Outcome.OK);
        dma.leave();
        assertThat(found).containsExactly(0x0123_4567_89ab_cdefL, 0xfedc_ba11_2233_4410L);
    }

    @Test
    void refusalsThatTheDriverIsNotToldOfAreToldAllTheSame() {
        m.attach(1, 7);
        for (int i = 0; i < 100; i++) {
            read(0x1000, 1);
        }
        m.map(7, -0x1000, -1, RAM, READ);
        read(-8, 16); // goes on where nothing is
        m.detach(1, 7);
        m.iommu.bypass(false);
        read(0x2000, 4);

        assertThat(seen).hasSize(103);
        assertThat(seen.subList(0, 100)).containsOnly("1.-1 in 7 READ 0x1000+0x1 refused MAPPING");
        assertThat(seen.subList(100, 103))
                .containsExactly(
                        "1.-1 in 7 READ 0xfffffffffffffff8+0x8 to 0x100ff8",
                        "1.-1 in 7 READ 0xffffffffffffffff+0x2 refused MAPPING",
                        "1.-1 in -1 READ 0x2000+0x4 refused DOMAIN");
        assertThat(m.faults.waiting()).hasSizeLessThan(10);
    }

    @Test
    void whatBypassesAndWhatIsAbsentAndTheDeviceBehindAreToldApart() {
        dma.deviceStarted();
        read(RAM + 0x10, 8); // attached to nothing
        read(0x10, 8); // where no memory is
        m.attach(1, 3, true);
        read(RAM + 0x20, 8);
        dma.deviceReset();

        assertThat(seen)
                .containsExactly(
                        "1 starts",
                        "1.-1 in -1 READ 0x100010+0x8 to 0x100010",
                        "1.-1 in 3 READ 0x100020+0x8 to 0x100020",
                        "1 reset");
    }
}
