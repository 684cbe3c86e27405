// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommu.mapping.MapFlags.READ;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.DomainView.MappingView;
import org.ioasis.iommu.ReservedRegion.Kind;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Saved domains from nobody knows where: what a guest could not have made is not restored. */
final class RestorationTest {
    private static final long PAGE = 0x1000;
    private static final long LARGE = 0x10000;
    private static final int DOMAIN_LAST = 5;
    private static final int MAPPING_LIMIT = 100;

    /** Pages of two sizes. */
    private static final IommuOptions OPTIONS =
            Machine.strict()
                    .pageSizeMask(PAGE | LARGE)
                    .inputRange(PAGE, 0xffff_ffffL)
                    .domainRange(1, DOMAIN_LAST)
                    .domainLimit(4)
                    .mappingLimit(MAPPING_LIMIT)
                    .build();

    private final Machine m = new Machine(OPTIONS);

    RestorationTest() {
        m.plug(1);
        m.plug(2);
        m.iommu.plug(3, new EndpointProperties(LARGE, 0, -1L, ReservedWindows.NONE));
        ReservedRegion msi = new ReservedRegion(0x8000, 0x8fff, Kind.MSI);
        m.iommu.plug(4, new EndpointProperties(0, 0, -1L, ReservedWindows.of(List.of(msi))));
        m.iommu.plug(5, new EndpointProperties(0x2000, 0, -1L, ReservedWindows.NONE));
    }

    private static DomainView domain(long id, int endpoint, MappingView... mappings) {
        return new DomainView(
                id, false, PAGE, List.of(endpoint), mappings.length, List.of(mappings));
    }

    private static MappingView page(long first) {
        return new MappingView(first, first + PAGE - 1, 0, READ);
    }

    private static DomainView pages(long id, int endpoint, long step, int count) {
        List<MappingView> all = new ArrayList<>();
        for (int i = 1; i <= count; i++) {
            all.add(page(i * step));
        }
        return domain(id, endpoint, all.toArray(new MappingView[0]));
    }

    private @Nullable String prepared(DomainView... domains) {
        String before = m.digest();
        Restoration restoration = new Restoration(m.iommu);
        String problem = restoration.prepare(List.of(domains));
        restoration.abandon();
        assertThat(m.digest()).isEqualTo(before);
        assertThat(m.tables.tableBytes()).as("given back").isZero();
        return problem;
    }

    @Test
    void domainsThatADriverCanHaveMadeAreRestored() {
        Restoration restoration = new Restoration(m.iommu);
        DomainView bypass = new DomainView(5, true, 0, List.of(3, 4), 0, List.of());
        assertThat(restoration.prepare(List.of(pages(1, 2, PAGE, MAPPING_LIMIT), bypass))).isNull();
        assertThat(m.iommu.domainCount()).isZero();

        m.requests.adopt(restoration.commit(true));

        assertThat(m.iommu.domains(9, 1000)).containsExactly(pages(1, 2, PAGE, 100), bypass);
        assertThat(m.iommu.isBypassing()).isTrue();
        assertThat(new Restoration(m.iommu).prepare(List.of()))
                .isEqualTo("the IOMMU has domains already");
    }

    @Test
    void domainsThatCannotBeAreRefused() {
        assertThat(prepared(domain(2, 1), domain(1, 2)))
                .isEqualTo("domain 0x1: it is out of order");
        assertThat(prepared(domain(1, 1), domain(1, 2)))
                .isEqualTo("domain 0x1: it is out of order");
        for (long outside : new long[] {0, DOMAIN_LAST + 1}) {
            assertThat(prepared(domain(outside, 1)))
                    .endsWith("its id is outside of the domain range");
        }
        assertThat(prepared(new DomainView(1, false, PAGE, List.of(), 0, List.of())))
                .isEqualTo("domain 0x1: it has no endpoint");
        for (DomainView bypass :
                List.of(
                        new DomainView(1, true, PAGE, List.of(1), 0, List.of()),
                        new DomainView(1, true, 0, List.of(1), 1, List.of(page(PAGE))))) {
            assertThat(prepared(bypass))
                    .isEqualTo("domain 0x1: it is a bypass domain with a granule or mappings");
        }
    }

    @Test
    void endpointsThatCannotBeInADomainAreRefused() {
        assertThat(prepared(domain(1, 9)))
                .isEqualTo("domain 0x1: endpoint 0x9 is unknown, out of order or attached twice");
        assertThat(prepared(new DomainView(1, false, PAGE, List.of(2, 1), 0, List.of())))
                .isEqualTo("domain 0x1: endpoint 0x1 is unknown, out of order or attached twice");
        assertThat(prepared(domain(1, 1), domain(2, 1)))
                .isEqualTo("domain 0x2: endpoint 0x1 is unknown, out of order or attached twice");
        assertThat(prepared(new DomainView(1, false, PAGE, List.of(1, 5), 0, List.of())))
                .isEqualTo("domain 0x1: endpoint 0x5 does not fit the others");
    }

    @Test
    void granulesThatADomainCannotHaveAreRefused() {
        for (long granule : new long[] {0, 0x2000, PAGE | LARGE, 0x800}) {
            assertThat(prepared(new DomainView(1, false, granule, List.of(1), 0, List.of())))
                    .isEqualTo("domain 0x1: granule 0x%x".formatted(granule));
            assertThat(
                            prepared(
                                    new DomainView(
                                            1, false, granule, List.of(1), 1, List.of(page(PAGE)))))
                    .isEqualTo("domain 0x1: granule 0x%x".formatted(granule));
        }
        assertThat(prepared(domain(1, 3, page(PAGE))))
                .as("finer than its endpoint can")
                .isEqualTo("domain 0x1: granule 0x1000");
    }

    @Test
    void mappingsThatCannotBeAreRefused() {
        MappingView[][] bad = {
            {page(2 * PAGE), page(PAGE)},
            {page(PAGE), page(PAGE)},
            {new MappingView(PAGE, 3 * PAGE - 1, 0, READ), page(2 * PAGE)},
            {new MappingView(2 * PAGE, PAGE - 1, 0, READ)},
            {new MappingView(PAGE + 1, 2 * PAGE - 1, 0, READ)},
            {new MappingView(PAGE, 2 * PAGE - 2, 0, READ)},
            {new MappingView(PAGE, 2 * PAGE - 1, 1, READ)},
            {new MappingView(PAGE, 3 * PAGE - 1, -PAGE, READ)},
            {page(0)},
            {page(0x1_0000_0000L)},
            {page(0x8000)},
            {new MappingView(PAGE, 2 * PAGE - 1, 0, 8)},
        };
        for (MappingView[] mappings : bad) {
            MappingView last = mappings[mappings.length - 1];
            assertThat(prepared(domain(1, 4, mappings)))
                    .isEqualTo(
                            "domain 0x1: mapping 0x%x..0x%x -> 0x%x flags %d is out of order or not"
                                    + " possible here",
                            last.first(), last.last(), last.output(), last.flags());
        }
    }

    @Test
    void mappingsBeyondALimitAreRefused() {
        assertThat(prepared(pages(1, 1, PAGE, 60), pages(2, 2, PAGE, 40))).isNull();
        assertThat(prepared(pages(1, 1, PAGE, 60), pages(2, 2, PAGE, 41)))
                .isEqualTo("domain 0x2: more mappings than the limit of 100");
        // Each in a table of its own.
        Machine small =
                new Machine(
                        OPTIONS.toBuilder()
                                .tableLimit(1 << 16)
                                .endpointMappingLimit(MAPPING_LIMIT)
                                .endpointTableLimit(1 << 16)
                                .build());
        small.plug(1);
        Restoration restoration = new Restoration(small.iommu);
        assertThat(restoration.prepare(List.of(pages(1, 1, 1 << 21, 20))))
                .startsWith("domain 0x1: no memory for mapping 0x");
        restoration.abandon();
        assertThat(small.tables.tableBytes()).isZero();
    }

    @Test
    void aGranuleThatWasFixedByAnEndpointThatHasLeftStays() {
        MappingView mapping = new MappingView(LARGE, 2 * LARGE - 1, 0, READ);
        Restoration restoration = new Restoration(m.iommu);
        assertThat(
                        restoration.prepare(
                                List.of(
                                        new DomainView(
                                                1, false, LARGE, List.of(1), 1, List.of(mapping)))))
                .isNull();

        m.requests.adopt(restoration.commit(false));

        assertThat(m.map(1, 4 * LARGE, 4 * LARGE + PAGE - 1, 0, READ)).isEqualTo(Status.RANGE);
        assertThat(m.unmap(1, 0, -1L)).isEqualTo(Status.OK);
        assertThat(m.map(1, 4 * LARGE, 4 * LARGE + PAGE - 1, 0, READ)).isEqualTo(Status.OK);
    }
}
