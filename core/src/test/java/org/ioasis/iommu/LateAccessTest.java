// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommu.Machine.RAM;
import static org.ioasis.iommu.mapping.MapFlags.READ;

import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What is said of a refused access that would have been allowed a moment ago. */
final class LateAccessTest {
    /** UNMAPs that are remembered. */
    private static final int REMEMBERED = 64;

    private final Machine m = new Machine(Machine.STRICT);
    private final Endpoint endpoint = m.plug(1);
    private final Dma dma = m.dma(endpoint);

    @BeforeEach
    void attachAndMap() {
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);
    }

    private String explained(Dma by, long iova) {
        m.access(by, iova, Access.READ);
        return m.faults.recent().getLast().explanation();
    }

    @Test
    void anAccessToWhatWasJustUnmappedIsToldApartFromOneThatWasNeverAllowed() {
        m.map(7, 0x5000, 0x5fff, RAM, READ);
        m.unmap(7, 0, 0xfff);
        m.unmap(7, 0x9000, 0x9fff); // removes nothing, and is not kept

        assertThat(explained(dma, 0x800))
                .isEqualTo(
                        "not mapped in domain 0x7; nearest is 0x5000..0x5fff; the driver unmapped"
                                + " 0x0..0xfff a moment ago, 1 UNMAP before");
        assertThat(explained(dma, 0x1000))
                .isEqualTo("not mapped in domain 0x7; nearest is 0x5000..0x5fff");
    }

    @Test
    void anUnmapThatHadToWaitIsRememberedToo() {
        Guard reader = m.guards.open();
        reader.enter();
        m.requests.unmap(7, 0, 0xfff, new Replies.One());
        reader.leave();
        m.guards.poll();

        assertThat(explained(dma, 0)).endsWith("unmapped 0x0..0xfff a moment ago, 1 UNMAP before");
    }

    @Test
    void anUnmapOfLongAgoIsForgotten() {
        Dma other = m.dma(m.plug(2));
        m.attach(2, 8);
        m.map(7, 0x1000, 0x1fff, RAM, READ);
        m.unmap(7, 0, 0x1fff);
        for (int i = 1; i < REMEMBERED; i++) {
            m.map(8, 0x5000, 0x5fff, RAM, READ);
            m.unmap(8, 0x5000, 0x5fff);
        }

        assertThat(explained(dma, 0))
                .endsWith("unmapped 0x0..0x1fff a moment ago, 64 UNMAPs before");
        m.map(8, 0x5000, 0x5fff, RAM, READ);
        m.unmap(8, 0x5000, 0x5fff);
        assertThat(explained(dma, 0x1000)).isEqualTo("domain 0x7 has no mapping at all");
        assertThat(explained(dma, 0x5000)).isEqualTo("domain 0x7 has no mapping at all");
        assertThat(explained(other, 0x5000)).endsWith("a moment ago, 1 UNMAP before");
    }

    @Test
    void aMapThatWasRefusedAfterTheUnmapIsTheCauseAndNotTheUnmap() {
        m.unmap(7, 0, 0xfff);
        m.map(7, 0x4000, 0x4fff, RAM, READ);
        m.map(7, 0, 0x4fff, RAM, READ); // overlaps

        assertThat(explained(dma, 0x800))
                .isEqualTo(
                        "not mapped in domain 0x7; nearest is 0x4000..0x4fff; the driver's MAP of"
                                + " 0x0..0x4fff was refused with INVAL (overlaps)");

        m.map(7, 0x1000, 0x1fff, RAM, READ);
        m.unmap(7, 0x1000, 0x1fff);
        assertThat(explained(dma, 0x1000)).endsWith("0x1000..0x1fff a moment ago, 1 UNMAP before");
        assertThat(explained(dma, 0x2000)).endsWith("was refused with INVAL (overlaps)");
    }

    @Test
    void aRefusedMapIsForgottenWithTheUnmapsOfItsTimeAndByAReset() {
        m.map(7, 0, 0x4fff, RAM, READ); // overlaps
        for (int i = 0; i < REMEMBERED; i++) {
            m.map(7, 0x5000, 0x5fff, RAM, READ);
            m.unmap(7, 0x5000, 0x5fff);
        }
        assertThat(explained(dma, 0x1000)).endsWith("was refused with INVAL (overlaps)");

        m.map(7, 0x5000, 0x5fff, RAM, READ);
        m.unmap(7, 0x5000, 0x5fff);
        assertThat(explained(dma, 0x2000)).doesNotContain("refused");

        m.map(7, 0, 0x4fff, RAM, READ);
        assertThat(explained(dma, 0x3000)).endsWith("was refused with INVAL (overlaps)");
        m.reset();
        m.attach(1, 7);
        assertThat(explained(dma, 0x4000)).isEqualTo("domain 0x7 has no mapping at all");
    }

    @Test
    void anAccessAfterDetachNamesTheDomainThatIsLeft() {
        m.detach(1, 7);

        assertThat(explained(dma, 0))
                .isEqualTo(
                        "the endpoint is attached to no domain any more, it was to domain 0x7;"
                                + " bypass is 0");
    }

    @Test
    void aResetForgetsWhatWasBefore() {
        m.unmap(7, 0, 0xfff);
        m.detach(1, 7);

        m.reset();

        assertThat(explained(dma, 0))
                .isEqualTo("the endpoint is attached to no domain and bypass is 0");
        m.attach(1, 7);
        m.map(7, 0x5000, 0x5fff, RAM, READ);
        assertThat(explained(dma, 0x800))
                .isEqualTo("not mapped in domain 0x7; nearest is 0x5000..0x5fff");
    }
}
