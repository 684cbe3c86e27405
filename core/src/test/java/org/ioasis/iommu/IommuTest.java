// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.iommu.Machine.RAM;
import static org.ioasis.iommu.Machine.byteAt;
import static org.ioasis.iommu.mapping.MapFlags.MMIO;
import static org.ioasis.iommu.mapping.MapFlags.READ;
import static org.ioasis.iommu.mapping.MapFlags.WRITE;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.ReservedRegion.Kind;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Lease;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.ReadRange;
import org.ioasis.memory.StuckLease;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The requests of the engine, one test for each statement of virtio 1.4, 5.13.6, and its limits.
 */
class IommuTest {
    private static final int RW = READ | WRITE;

    private final Machine m = new Machine(Machine.STRICT);
    private final Endpoint one = m.plug(1);
    private final Endpoint two = m.plug(2);
    private final Dma dma = m.dma(one);

    private void refused(Status expected, java.util.function.Supplier<Status> request) {
        String before = m.digest();
        assertThat(request.get()).isEqualTo(expected);
        assertThat(m.digest()).isEqualTo(before);
    }

    // --- accesses

    @Test
    @Tag("D-15")
    @DisplayName("D-15: an unattached endpoint reaches nothing")
    void anUnattachedEndpointReachesNothing() {
        assertThat(m.access(dma, RAM, Access.READ)).isEqualTo(Outcome.FAULT);
        assertThat(m.access(dma, RAM, Access.WRITE)).isEqualTo(Outcome.FAULT);

        assertThat(one.counts()).isEqualTo(new EndpointCounts(0, 0, 0, 0, 0, 0, 0, 0, 2));
        assertThat(m.faults.recent())
                .extracting(Fault::reason)
                .containsExactly(FaultReason.DOMAIN, FaultReason.DOMAIN);
    }

    @Test
    void bypassLetsUnattachedEndpointsThroughAndIsCounted() {
        m.iommu.bypass(true);

        assertThat(m.read(dma, RAM + 5)).isEqualTo(byteAt(RAM + 5));
        assertThat(one.counts()).isEqualTo(new EndpointCounts(0, 0, 0, 0, 0, 0, 1, 0, 0));
        m.attach(1, 7);
        m.detach(1, 7);
        m.read(dma, RAM);
        assertThat(one.counts().bypassed()).isEqualTo(2);
        assertThat(one.counts().bypassedAfterAttach()).isEqualTo(1);
        m.reset();
        m.read(dma, RAM);
        assertThat(one.counts().bypassed()).isEqualTo(3);
        assertThat(one.counts().bypassedAfterAttach()).isEqualTo(1);
        m.iommu.bypass(false);
        assertThat(m.read(dma, RAM)).isEqualTo(Outcome.FAULT);
    }

    @Test
    void anAttachedEndpointIsNotBypassing() {
        m.iommu.bypass(true);
        m.attach(1, 7);

        assertThat(m.read(dma, RAM)).isEqualTo(Outcome.FAULT);
        assertThat(m.faults.recent().getFirst().reason()).isEqualTo(FaultReason.MAPPING);
    }

    @Test
    void aBypassDomainIsTheIdentity() {
        m.attach(1, 7, true);

        assertThat(m.read(dma, RAM + 9)).isEqualTo(byteAt(RAM + 9));
        assertThat(m.access(dma, 0, Access.WRITE)).isEqualTo(Outcome.ABSENT);
        assertThat(one.counts()).isEqualTo(new EndpointCounts(0, 0, 0, 0, 2, 1, 0, 0, 0));
    }

    @Test
    void aMappingTranslatesByItsOffset() {
        m.attach(1, 7);
        m.map(7, 0x5000, 0x6fff, RAM + 0x3000, READ);

        assertThat(m.read(dma, 0x5000)).isEqualTo(byteAt(RAM + 0x3000));
        assertThat(m.read(dma, 0x6fff)).isEqualTo(byteAt(RAM + 0x4fff));
        assertThat(m.read(dma, 0x4fff)).isEqualTo(Outcome.FAULT);
        assertThat(m.read(dma, 0x7000)).isEqualTo(Outcome.FAULT);
        assertThat(one.counts()).isEqualTo(new EndpointCounts(2, 2, 0, 0, 0, 0, 0, 0, 2));
    }

    @Test
    void translationsToMemoryAbove4GiBAreCountedOnTheirOwn() {
        m.attach(1, 7);
        m.map(7, 0x5000, 0x5fff, 0xffff_f000L, READ);
        m.map(7, 0x6000, 0x6fff, 0x1_0000_0000L, READ);
        m.map(7, 0x7000, 0x7fff, 0xffff_ffff_ffff_f000L, READ);

        assertThat(m.read(dma, 0x5fff)).isEqualTo(Outcome.ABSENT);
        assertThat(one.counts().translationsAbove4GiB()).isZero();
        assertThat(m.read(dma, 0x6000)).isEqualTo(Outcome.ABSENT);
        assertThat(m.read(dma, 0x7fff)).isEqualTo(Outcome.ABSENT);
        assertThat(one.counts().translationsAbove4GiB()).isEqualTo(2);
        assertThat(one.counts().translations()).isEqualTo(3);
    }

    @Test
    void oneAccessGoesOnOverMappings() {
        m.attach(1, 7);
        m.map(7, 0x5000, 0x5fff, RAM + 0x3000, READ);
        m.map(7, 0x6000, 0x6fff, RAM + 0x1000, READ);
        byte[] bytes = new byte[4];

        dma.enter();
        Outcome outcome = dma.read(0x5ffe, java.lang.foreign.MemorySegment.ofArray(bytes), 0, 4);
        dma.leave();

        assertThat(outcome).isEqualTo(Outcome.OK);
        assertThat(bytes)
                .containsExactly(
                        byteAt(RAM + 0x3ffe),
                        byteAt(RAM + 0x3fff),
                        byteAt(RAM + 0x1000),
                        byteAt(RAM + 0x1001));
        assertThat(one.counts().translations()).isEqualTo(2);
        assertThat(one.counts().translatedBytes()).isEqualTo(4);
    }

    @Test
    @Tag("D-37")
    @Tag("D-38")
    @DisplayName("D-37, D-38: permissions are exact, in all combinations")
    void permissionsAreExact() {
        m.attach(1, 7);
        for (int flags = 0; flags < 8; flags++) {
            long iova = 0x10000 + flags * 0x1000L;
            assertThat(m.map(7, iova, iova + 0xfff, RAM, flags)).isEqualTo(Status.OK);
            assertThat(m.access(dma, iova, Access.READ))
                    .isEqualTo((flags & READ) != 0 ? Outcome.OK : Outcome.FAULT);
            assertThat(m.access(dma, iova, Access.WRITE))
                    .isEqualTo((flags & WRITE) != 0 ? Outcome.OK : Outcome.FAULT);
        }
        assertThat(MMIO).isEqualTo(4);
    }

    @Test
    @Tag("P-10")
    @DisplayName("P-10: a mapping to where no memory is is made, and its accesses are absent")
    void absentMemoryIsNoFault() {
        m.attach(1, 7);

        assertThat(m.map(7, 0, 0xfff, 1L << 50, RW)).isEqualTo(Status.OK);
        assertThat(m.access(dma, 0, Access.READ)).isEqualTo(Outcome.ABSENT);
        assertThat(one.counts().faults()).isZero();
        assertThat(m.faults.isEmpty()).isTrue();
    }

    // --- ATTACH

    @Test
    @Tag("D-18")
    @DisplayName("D-18: ATTACH of a missing endpoint, also one that folds onto an existing id")
    void attachOfAMissingEndpointIsNoent() {
        refused(Status.NOENT, () -> m.attach(3, 7));
        refused(Status.NOENT, () -> m.attach(0x10001, 7));
        refused(Status.NOENT, () -> m.attach(-1, 7, true));
    }

    @Test
    @Tag("P-04")
    @DisplayName("P-04: a domain id outside domain_range")
    void attachOutsideTheDomainRangeIsRange() {
        Machine narrow =
                new Machine(
                        Machine.strict()
                                .domainRange(5, 0x80000001)
                                .endpointLimit(4)
                                .domainLimit(4)
                                .mappingLimit(4)
                                .build());
        narrow.plug(1);
        String before = narrow.digest();

        assertThat(narrow.attach(1, 4)).isEqualTo(Status.RANGE);
        assertThat(narrow.attach(1, 0x80000002)).isEqualTo(Status.RANGE);
        assertThat(narrow.attach(1, -1)).isEqualTo(Status.RANGE);
        assertThat(narrow.digest()).isEqualTo(before);
        assertThat(narrow.attach(1, 5)).isEqualTo(Status.OK);
        assertThat(narrow.attach(1, 0x80000001)).isEqualTo(Status.OK);
    }

    @Test
    @Tag("D-19")
    @Tag("D-27")
    @DisplayName("D-19, D-27: several endpoints share a domain, with the mappings there are")
    void severalEndpointsShareADomain() {
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);

        assertThat(m.attach(2, 7)).isEqualTo(Status.OK);

        Dma second = m.dma(two);
        assertThat(m.read(second, 0)).isEqualTo(byteAt(RAM));
        m.unmap(7, 0, 0xfff);
        assertThat(m.read(second, 0)).isEqualTo(Outcome.FAULT);
        assertThat(m.read(dma, 0)).isEqualTo(Outcome.FAULT);
    }

    @Test
    void endpointsOfDifferentDomainsAreIsolated() {
        m.attach(1, 7);
        m.attach(2, 8);
        m.map(7, 0, 0xfff, RAM, READ);

        assertThat(m.read(m.dma(two), 0)).isEqualTo(Outcome.FAULT);
    }

    @Test
    @Tag("D-21")
    @DisplayName("D-21: ATTACH with the wrong kind of domain, and the endpoint stays where it was")
    void attachWithAnInconsistentBypassFlagIsInval() {
        m.attach(1, 7);
        m.attach(2, 8, true);
        m.map(7, 0, 0xfff, RAM, READ);

        refused(Status.INVAL, () -> m.attach(1, 8, false));
        refused(Status.INVAL, () -> m.attach(2, 7, true));
        refused(Status.INVAL, () -> m.attach(1, 7, true));
        assertThat(m.read(dma, 0)).isEqualTo(byteAt(RAM));
    }

    @Test
    @Tag("D-22")
    @Tag("D-23")
    @Tag("P-05")
    @DisplayName("D-22, D-23, P-05: ATTACH elsewhere detaches first, and the old domain may end")
    void attachElsewhereDetachesFirst() {
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);

        assertThat(m.attach(1, 8)).isEqualTo(Status.OK);

        assertThat(m.read(dma, 0)).isEqualTo(Outcome.FAULT);
        assertThat(one.domainId()).isEqualTo(8);
        assertThat(m.iommu.domainCount()).isEqualTo(1);
        assertThat(m.iommu.mappingCount()).isZero();
        assertThat(m.map(7, 0, 0xfff, RAM, READ)).isEqualTo(Status.NOENT);
    }

    @Test
    void attachToTheSameDomainKeepsItsMappings() {
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);

        assertThat(m.attach(1, 7)).isEqualTo(Status.OK);

        assertThat(m.read(dma, 0)).isEqualTo(byteAt(RAM));
        assertThat(m.iommu.mappingCount()).isEqualTo(1);
    }

    // --- compatibility

    private static EndpointProperties properties(long mask, long first, long last) {
        return new EndpointProperties(mask, first, last, ReservedWindows.NONE);
    }

    @Test
    @Tag("D-26")
    @DisplayName("D-26: no common page size")
    void attachWithoutACommonPageSizeIsUnsupp() {
        Machine big =
                new Machine(
                        Machine.strict()
                                .pageSizeMask(0x11000)
                                .endpointLimit(4)
                                .domainLimit(4)
                                .mappingLimit(4)
                                .build());
        big.iommu.plug(1, properties(0x1000, 0, -1L));
        big.iommu.plug(2, properties(0x10000, 0, -1L));
        big.iommu.plug(3, properties(0x2000, 0, -1L));
        big.attach(1, 7);
        String before = big.digest();

        assertThat(big.attach(2, 7)).isEqualTo(Status.UNSUPP);
        assertThat(big.attach(3, 8)).isEqualTo(Status.UNSUPP);
        assertThat(big.digest()).isEqualTo(before);
        assertThat(big.attach(2, 8)).isEqualTo(Status.OK);
        assertThat(big.attach(3, 9, true)).as("a bypass domain has no pages").isEqualTo(Status.OK);
    }

    @Test
    @Tag("D-25")
    @Tag("D-26")
    @DisplayName("D-25, D-26: the granule stands while there are mappings")
    void theGranuleOfLiveMappingsStands() {
        Machine big =
                new Machine(
                        Machine.strict()
                                .pageSizeMask(0x11000)
                                .endpointLimit(4)
                                .domainLimit(4)
                                .mappingLimit(4)
                                .build());
        big.iommu.plug(1, properties(0, 0, -1L));
        big.iommu.plug(2, properties(0x10000, 0, -1L));
        big.iommu.plug(3, properties(0, 0, -1L));
        big.attach(1, 7);
        assertThat(big.map(7, 0x1000, 0x1fff, RAM, READ)).isEqualTo(Status.OK);
        String before = big.digest();
        assertThat(big.attach(2, 7)).as("mapping of 4 KiB").isEqualTo(Status.UNSUPP);
        assertThat(big.digest()).isEqualTo(before);

        big.unmap(7, 0, -1L);
        assertThat(big.attach(2, 7)).isEqualTo(Status.OK);
        assertThat(big.map(7, 0x1000, 0x1fff, RAM, READ)).isEqualTo(Status.RANGE);
        assertThat(big.map(7, 0x10000, 0x1ffff, RAM, READ)).isEqualTo(Status.OK);
        big.detach(2, 7);
        assertThat(big.map(7, 0x1000, 0x1fff, RAM, READ)).as("still").isEqualTo(Status.RANGE);
        assertThat(big.attach(3, 7)).as("64 KiB fit it").isEqualTo(Status.OK);
        big.unmap(7, 0, -1L);
        assertThat(big.map(7, 0x1000, 0x1fff, RAM, READ)).isEqualTo(Status.OK);
    }

    @Test
    @Tag("D-26")
    @Tag("P-03")
    @DisplayName("D-26, P-03: input ranges are intersected, and live mappings must fit")
    void theInputRangeIsWhatAllHaveInCommon() {
        m.iommu.plug(11, properties(0, 0x10000, 0x1ffff));
        m.iommu.plug(12, properties(0, 0x20000, -1L));
        m.iommu.plug(13, properties(0, 0x18000, -1L));
        m.attach(11, 7);
        refused(Status.UNSUPP, () -> m.attach(12, 7));
        refused(Status.RANGE, () -> m.map(7, 0xf000, 0x10fff, RAM, READ));
        refused(Status.RANGE, () -> m.map(7, 0x1f000, 0x20fff, RAM, READ));
        assertThat(m.map(7, 0x10000, 0x10fff, RAM, READ)).isEqualTo(Status.OK);
        refused(Status.UNSUPP, () -> m.attach(13, 7));

        m.unmap(7, 0, -1L);
        assertThat(m.attach(13, 7)).isEqualTo(Status.OK);
        refused(Status.RANGE, () -> m.map(7, 0x17000, 0x17fff, RAM, READ));
        assertThat(m.map(7, 0x18000, 0x1ffff, RAM, READ)).isEqualTo(Status.OK);
    }

    @Test
    @Tag("D-26")
    @DisplayName("D-26: a live mapping above the newcomer's input range")
    void mappingsAboveTheInputRangeKeepAnEndpointOut() {
        m.iommu.plug(11, properties(0, 0, 0xffff));
        m.attach(1, 7);
        m.map(7, -0x1000L, -1L, RAM, READ);

        refused(Status.UNSUPP, () -> m.attach(11, 7));
    }

    private static EndpointProperties reserving(long first, long last, Kind kind) {
        return EndpointProperties.reserving(List.of(new ReservedRegion(first, last, kind)));
    }

    @Test
    @Tag("D-58")
    @DisplayName("D-58: MAP over a reserved region of any endpoint of the domain")
    void mapOverAReservedRegionIsInval() {
        m.iommu.plug(11, reserving(0xfee00000L, 0xfeefffffL, Kind.MSI));
        m.iommu.plug(12, reserving(-0x1000L, -1L, Kind.RESERVED));
        m.attach(11, 7);
        m.attach(12, 7);

        refused(Status.INVAL, () -> m.map(7, 0xfee00000L, 0xfee00fffL, RAM, READ));
        refused(Status.INVAL, () -> m.map(7, 0xfeeff000L, 0xfef00fffL, RAM, READ));
        refused(Status.INVAL, () -> m.map(7, 0, 0xfee00fffL, RAM, READ));
        refused(Status.INVAL, () -> m.map(7, -0x1000L, -1L, RAM, READ));
        assertThat(m.map(7, 0xfedff000L, 0xfedfffffL, RAM, READ)).isEqualTo(Status.OK);
        assertThat(m.map(7, 0xfef00000L, 0xfef00fffL, RAM, READ)).isEqualTo(Status.OK);
        m.detach(12, 7);
        assertThat(m.map(7, -0x1000L, -1L, RAM, READ)).isEqualTo(Status.OK);
    }

    @Test
    @Tag("D-26")
    @DisplayName("D-26: mappings in the newcomer's reserved region")
    void mappingsInAReservedRegionKeepAnEndpointOut() {
        m.iommu.plug(11, reserving(0x8000, 0x8fff, Kind.RESERVED));
        m.attach(1, 7);
        m.map(7, 0x8000, 0x8fff, RAM, READ);

        refused(Status.UNSUPP, () -> m.attach(11, 7));
        m.unmap(7, 0x8000, 0x8fff);
        assertThat(m.attach(11, 7)).isEqualTo(Status.OK);
    }

    @Test
    @Tag("T6")
    @DisplayName("T6: an identity region is not laid open to others, unless allowed")
    void identityBesideNoneIsUnsuppUnlessAllowed() {
        m.iommu.plug(11, reserving(0x8000, 0x8fff, Kind.IDENTITY));
        m.iommu.plug(12, reserving(0x8000, 0x8fff, Kind.RESERVED));
        m.attach(11, 7);
        refused(Status.UNSUPP, () -> m.attach(1, 7));
        assertThat(m.attach(12, 7)).as("I+R").isEqualTo(Status.OK);
        m.attach(1, 8);
        refused(Status.UNSUPP, () -> m.attach(11, 8));

        Machine lenient = new Machine(Machine.strict().identityBesideNone(true).build());
        lenient.iommu.plug(11, reserving(0x8000, 0x8fff, Kind.IDENTITY));
        lenient.plug(1);
        lenient.attach(11, 7);
        assertThat(lenient.attach(1, 7)).isEqualTo(Status.OK);
    }

    @Test
    void whatAnEndpointDoesInItsOwnIdentityRegionHoldsUpNothingOfItsDomain() {
        Endpoint own = m.iommu.plug(11, reserving(RAM, RAM + 0xfff, Kind.IDENTITY));
        Dma ownDma = m.dma(own);
        m.attach(11, 7);
        m.map(7, 0, 0xfff, RAM + 0x1000, READ);

        assertThat(m.read(ownDma, RAM)).isEqualTo(byteAt(RAM));
        assertThat(own.counts().identityBytes()).isEqualTo(1);
        assertThat(own.counts().translatedBytes()).isZero();
        Lease lease = m.pin(ownDma, RAM, 1);
        assertThat(m.unmap(7, 0, -1L)).isEqualTo(Status.OK);
        assertThat(lease.isRevoked()).isFalse();
        lease.close();
    }

    @Test
    void aLookGoesNoFurtherThanTheEndpointsOwnIdentityRegion() {
        Endpoint own = m.iommu.plug(11, reserving(RAM, RAM + 0xfff, Kind.IDENTITY));
        Dma ownDma = m.dma(own);
        m.attach(11, 7);

        ownDma.enter();
        assertThat(ownDma.peek(RAM + 0xff0, 0x10)).isEqualTo(Outcome.OK);
        assertThat(ownDma.reach()).isEqualTo(0x10);
        assertThat(ownDma.peek(RAM + 0xff0, 0x11)).isEqualTo(Outcome.REFUSED);
        assertThat(ownDma.peek(RAM + 0x1000, 1)).isEqualTo(Outcome.FAULT);
        ownDma.leave();
        assertThat(own.counts().faults()).isZero();
    }

    @Test
    void aRangeThatBeginsInAnIdentityRegionAndEndsElsewhereIsNotFound() {
        Endpoint own = m.iommu.plug(11, reserving(RAM, RAM + 0xfff, Kind.IDENTITY));
        Dma ownDma = m.dma(own);
        m.attach(11, 7);
        ReadRange inside = range(ownDma, RAM + 0xff0, 0x10);
        ReadRange across = range(ownDma, RAM + 0xff0, 0x20);

        ownDma.enter();
        assertThat(inside.isFound()).isTrue();
        assertThat(across.isFound()).isFalse();
        ownDma.leave();
    }

    private static ReadRange range(Dma dma, long address, long bytes) {
        ReadRange range = new ReadRange(dma);
        range.begin(address, bytes);
        return range;
    }

    @Test
    void aRangeThatIsFoundIsOneAccessOfItsSectionAndOneThatIsNotIsNone() {
        long page = 0x80000;
        Machine large = new Machine(Machine.granule(page));
        Endpoint own = large.plug(1);
        Dma ownDma = large.dma(own);
        large.attach(1, 7);
        assertThat(large.map(7, 0, page - 1, RAM, READ)).isEqualTo(Status.OK);
        assertThat(large.map(7, page, 2 * page - 1, RAM, WRITE)).isEqualTo(Status.OK);
        ReadRange toTheEnd = range(ownDma, Machine.RAM_SIZE - 0x10, 0x10);
        ReadRange beyondMemory = range(ownDma, Machine.RAM_SIZE - 0x10, 0x11);
        ReadRange absent = range(ownDma, Machine.RAM_SIZE, 0x10);
        ReadRange forWritesOnly = range(ownDma, page, 0x10);
        ReadRange unmapped = range(ownDma, 2 * page, 0x10);

        for (int section = 1; section <= 2; section++) {
            ownDma.enter();
            assertThat(toTheEnd.isFound()).isTrue();
            assertThat(toTheEnd.isFound()).isTrue();
            assertThat(beyondMemory.isFound()).isFalse();
            assertThat(absent.isFound()).isFalse();
            assertThat(forWritesOnly.isFound()).isFalse();
            assertThat(unmapped.isFound()).isFalse();
            ownDma.leave();
            assertThat(own.counts().translations()).isEqualTo(section);
        }
        assertThat(own.counts().faults()).isZero();
        assertThat(large.faults.isEmpty()).isTrue();
    }

    // --- DETACH

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    @Tag("D-29")
    @Tag("D-30")
    @Tag("T3")
    @DisplayName("D-29, D-30, T3: DETACH that names what is not there")
    void detachOfWhatIsNotThere(boolean byEndpoint) {
        Machine q = quirk(byEndpoint);
        q.plug(1);
        q.plug(2);
        q.attach(1, 7);
        q.map(7, 0, 0xfff, RAM, READ);
        String before = q.digest();

        assertThat(q.detach(3, 7)).isEqualTo(Status.NOENT);
        assertThat(q.detach(0x10001, 7)).isEqualTo(Status.NOENT);
        assertThat(q.detach(2, 7)).as("not attached").isEqualTo(Status.INVAL);
        assertThat(q.detach(2, 9)).as("no such domain").isEqualTo(Status.INVAL);
        assertThat(q.digest()).isEqualTo(before);
    }

    private static Machine quirk(boolean byEndpoint) {
        return new Machine(Machine.strict().detachByEndpoint(byEndpoint).build());
    }

    @Test
    @Tag("D-30")
    @Tag("T3")
    @DisplayName("D-30, T3 strict: DETACH from another domain is INVAL and changes nothing")
    void strictDetachFromAnotherDomainIsInval() {
        m.attach(1, 7);
        m.attach(2, 8);
        m.map(7, 0, 0xfff, RAM, READ);

        refused(Status.INVAL, () -> m.detach(1, 8));
        refused(Status.INVAL, () -> m.detach(1, 0));
        assertThat(m.read(dma, 0)).isEqualTo(byteAt(RAM));
    }

    @Test
    @Tag("T3")
    @Tag("D-31")
    @DisplayName("D-31, T3 by endpoint: Linux detaches its identity domain with id 0")
    void detachByEndpointLeavesNoAccess() {
        Machine q = quirk(true);
        Endpoint endpoint = q.plug(1);
        q.plug(2);
        q.attach(1, 7);
        q.attach(2, 8);
        q.map(7, 0, 0xfff, RAM, READ);
        q.map(8, 0, 0xfff, RAM, READ);

        assertThat(q.detach(1, 8)).isEqualTo(Status.OK);

        assertThat(q.read(q.dma(endpoint), 0)).isEqualTo(Outcome.FAULT);
        assertThat(q.iommu.domainCount()).as("7 has ended, 8 has not").isEqualTo(1);
        assertThat(q.iommu.mappingCount()).isEqualTo(1);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    @Tag("D-31")
    @Tag("P-05")
    @DisplayName("D-31, P-05: after DETACH nothing is reached, and the last one ends the domain")
    void detachEndsAccessAndTheLastOneTheDomain(boolean byEndpoint) {
        Machine q = quirk(byEndpoint);
        Endpoint first = q.plug(1);
        Endpoint second = q.plug(2);
        Dma firstDma = q.dma(first);
        Dma secondDma = q.dma(second);
        q.attach(1, 7);
        q.attach(2, 7);
        q.map(7, 0, 0xfff, RAM, READ);

        assertThat(q.detach(1, 7)).isEqualTo(Status.OK);
        assertThat(q.read(firstDma, 0)).isEqualTo(Outcome.FAULT);
        assertThat(q.read(secondDma, 0)).isEqualTo(byteAt(RAM));
        assertThat(q.map(7, 0x1000, 0x1fff, RAM, READ)).isEqualTo(Status.OK);
        assertThat(q.detach(2, 7)).isEqualTo(Status.OK);

        assertThat(q.iommu.domainCount()).isZero();
        assertThat(q.iommu.mappingCount()).isZero();
        assertThat(q.map(7, 0, 0xfff, RAM, READ)).isEqualTo(Status.NOENT);
        assertThat(q.unmap(7, 0, 0xfff)).isEqualTo(Status.NOENT);
    }

    @Test
    @Tag("P-05")
    @DisplayName("P-05: the id of a domain that has ended is free, for another kind too")
    void aDomainIdCanBeUsedAgain() {
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        m.detach(1, 7);

        assertThat(m.attach(1, 7, true)).isEqualTo(Status.OK);
        m.detach(1, 7);
        assertThat(m.attach(1, 7)).isEqualTo(Status.OK);
        assertThat(m.read(dma, 0)).as("old mapping").isEqualTo(Outcome.FAULT);
        assertThat(m.iommu.mappingCount()).isZero();
    }

    // --- MAP

    @Test
    @Tag("D-32")
    @DisplayName("D-32: MAP of what is not aligned")
    void misalignedMapIsRange() {
        m.attach(1, 7);

        refused(Status.RANGE, () -> m.map(7, 0x800, 0x1fff, RAM, READ));
        refused(Status.RANGE, () -> m.map(7, 0x1000, 0x1ffe, RAM, READ));
        refused(Status.RANGE, () -> m.map(7, 0x1000, 0x2000, RAM, READ));
        refused(Status.RANGE, () -> m.map(7, 0x1000, 0x1fff, RAM + 1, READ));
        refused(Status.RANGE, () -> m.map(7, 0, 9, RAM, READ));
    }

    @Test
    @Tag("D-33")
    @DisplayName("D-33: MAP over a mapping")
    void mapOverAMappingIsInval() {
        m.attach(1, 7);
        m.map(7, 0x2000, 0x3fff, RAM, READ);

        refused(Status.INVAL, () -> m.map(7, 0x2000, 0x3fff, RAM, READ));
        refused(Status.INVAL, () -> m.map(7, 0x1000, 0x2fff, RAM, READ));
        refused(Status.INVAL, () -> m.map(7, 0x3000, 0x4fff, RAM, READ));
        refused(Status.INVAL, () -> m.map(7, 0, -1L, 0, READ));
        assertThat(m.map(7, 0x1000, 0x1fff, RAM, READ)).isEqualTo(Status.OK);
        assertThat(m.map(7, 0x4000, 0x4fff, RAM, READ)).isEqualTo(Status.OK);
    }

    @Test
    @Tag("D-35")
    @DisplayName("D-35: MAP to a missing domain")
    void mapToAMissingDomainIsNoent() {
        m.attach(1, 7);

        refused(Status.NOENT, () -> m.map(8, 0, 0xfff, RAM, READ));
        refused(Status.NOENT, () -> m.map(0x10007, 0, 0xfff, RAM, READ));
    }

    @Test
    @Tag("D-36")
    @DisplayName("D-36: MAP on a bypass domain")
    void mapOnABypassDomainIsInval() {
        m.attach(1, 7, true);

        refused(Status.INVAL, () -> m.map(7, 0, 0xfff, RAM, READ));
    }

    @Test
    @Tag("T1")
    @DisplayName("T1: end before start is INVAL, one byte is a mapping when the granule is one")
    void orderOfTheEnds() {
        m.attach(1, 7);
        refused(Status.INVAL, () -> m.map(7, 0x1000, 0xfff, RAM, READ));
        refused(Status.INVAL, () -> m.map(7, -0x1000L, 0xfff, RAM, READ));
        refused(Status.RANGE, () -> m.map(7, 0x1000, 0x1000, RAM, READ));

        Machine bytewise = new Machine(Machine.granule(1));
        Dma byteDma = bytewise.dma(bytewise.plug(1));
        bytewise.attach(1, 7);
        assertThat(bytewise.map(7, 5, 5, RAM + 3, READ)).isEqualTo(Status.OK);
        assertThat(bytewise.map(7, 6, 5, RAM + 3, READ)).isEqualTo(Status.INVAL);
        assertThat(bytewise.read(byteDma, 5)).isEqualTo(byteAt(RAM + 3));
        assertThat(bytewise.read(byteDma, 4)).isEqualTo(Outcome.FAULT);
        assertThat(bytewise.read(byteDma, 6)).isEqualTo(Outcome.FAULT);
    }

    @Test
    @Tag("P-03")
    @DisplayName("P-03: MAP outside input_range")
    void mapOutsideTheInputRangeIsRange() {
        Machine narrow =
                new Machine(
                        Machine.strict()
                                .inputRange(0x10000, 0xffffffffL)
                                .endpointLimit(4)
                                .domainLimit(4)
                                .mappingLimit(4)
                                .build());
        narrow.plug(1);
        narrow.attach(1, 7);
        String before = narrow.digest();

        assertThat(narrow.map(7, 0xf000, 0x10fff, RAM, READ)).isEqualTo(Status.RANGE);
        assertThat(narrow.map(7, 0xfffff000L, 0x100000fffL, RAM, READ)).isEqualTo(Status.RANGE);
        assertThat(narrow.map(7, 0, -1L, 0, READ)).isEqualTo(Status.RANGE);
        assertThat(narrow.digest()).isEqualTo(before);
        assertThat(narrow.map(7, 0x10000, 0xffffffffL, 0, READ)).isEqualTo(Status.OK);
    }

    @Test
    @Tag("P-09")
    @DisplayName("P-09: ranges at 0 and at 2^64-1, and both at once")
    void rangesMayBeginAtZeroAndEndAtTheLastAddress() {
        m.attach(1, 7);
        assertThat(m.map(7, 0, 0xfff, RAM, READ)).isEqualTo(Status.OK);
        assertThat(m.map(7, -0x1000L, -1L, RAM + 0x1000, READ)).isEqualTo(Status.OK);

        assertThat(m.read(dma, -1L)).isEqualTo(byteAt(RAM + 0x1fff));
        assertThat(m.read(dma, -0x1001L)).as("byte before").isEqualTo(Outcome.FAULT);
        assertThat(m.read(dma, 0)).isEqualTo(byteAt(RAM));
        refused(Status.RANGE, () -> m.unmap(7, -0x800L, -1L));
        assertThat(m.unmap(7, -0x1000L, -1L)).isEqualTo(Status.OK);
        assertThat(m.read(dma, -1L)).isEqualTo(Outcome.FAULT);
        assertThat(m.unmap(7, 0, -1L)).isEqualTo(Status.OK);
        assertThat(m.iommu.mappingCount()).isZero();
        assertThat(m.map(7, 0, -1L, 0, READ)).isEqualTo(Status.OK);
        assertThat(m.read(dma, RAM + 4)).isEqualTo(byteAt(RAM + 4));
        refused(Status.RANGE, () -> m.unmap(7, 0, -2L));
        refused(Status.RANGE, () -> m.unmap(7, 1, -1L));
        assertThat(m.unmap(7, 0, -1L)).isEqualTo(Status.OK);
    }

    @Test
    void anAccessPastTheLastAddressFaultsAndDoesNotGoOnAtZero() {
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        m.map(7, -0x1000L, -1L, RAM + 0x1000, READ);

        dma.enter();
        Outcome outcome = dma.read(-1L, java.lang.foreign.MemorySegment.ofArray(new byte[2]), 0, 2);
        dma.leave();

        assertThat(outcome).isEqualTo(Outcome.FAULT);
        assertThat(m.faults.recent().getFirst().address()).isEqualTo(-1L);
    }

    @Test
    @Tag("P-09")
    @DisplayName("P-09: an output range that wraps")
    void anOutputRangeThatWrapsIsRange() {
        m.attach(1, 7);

        refused(Status.RANGE, () -> m.map(7, 0, 0x1fff, -0x1000L, READ));
        refused(Status.RANGE, () -> m.map(7, 0, -1L, 0x1000, READ));
        assertThat(m.map(7, 0, 0xfff, -0x1000L, READ)).isEqualTo(Status.OK);
    }

    /** What can be wrong with a MAP, in the order in which it is answered. */
    private enum Wrong {
        DOMAIN(Status.NOENT),
        BYPASS(Status.INVAL),
        ORDER(Status.INVAL),
        ALIGNMENT(Status.RANGE),
        OUTPUT(Status.RANGE),
        INPUT(Status.RANGE),
        RESERVED(Status.INVAL),
        OVERLAP(Status.INVAL),
        QUOTA(Status.NOMEM);

        private final Status status;

        Wrong(Status status) {
            this.status = status;
        }
    }

    @Test
    @Tag("T5")
    @DisplayName("T5: of any two things that are wrong the first in order is answered")
    void theOrderOfChecksIsFixed() {
        for (Wrong a : Wrong.values()) {
            for (Wrong b : Wrong.values()) {
                List<Wrong> both = List.of(a, b);
                boolean isPossible = !both.contains(Wrong.DOMAIN) || !both.contains(Wrong.BYPASS);
                if (isPossible) {
                    Wrong first = a.compareTo(b) < 0 ? a : b;
                    assertThat(mapWith(both)).as("%s", both).isEqualTo(first.status);
                }
            }
        }
        assertThat(mapWith(List.of())).isEqualTo(Status.OK);
    }

    private static Status mapWith(List<Wrong> wrong) {
        boolean quota = wrong.contains(Wrong.QUOTA);
        boolean input = wrong.contains(Wrong.INPUT);
        // Reserved and mapped lie outside or inside the input range, as the case needs.
        Machine t5 =
                new Machine(
                        Machine.strict()
                                .inputRange(0, 0xfffff)
                                .endpointLimit(4)
                                .domainLimit(4)
                                .mappingLimit(quota ? 1 : 8)
                                .build());
        t5.iommu.plug(1, reserving(0x10000, 0x10fff, Kind.RESERVED));
        t5.plug(2);
        t5.attach(1, 7);
        t5.attach(2, 8, true);
        t5.map(7, 0x20000, 0x20fff, RAM, READ);
        int domain = wrong.contains(Wrong.DOMAIN) ? 9 : wrong.contains(Wrong.BYPASS) ? 8 : 7;
        long first = 0x30000;
        long last = 0x30fff;
        if (wrong.contains(Wrong.RESERVED) && wrong.contains(Wrong.OVERLAP)) {
            first = 0x10000;
            last = 0x20fff;
        } else if (wrong.contains(Wrong.RESERVED)) {
            first = 0x10000;
            last = 0x10fff;
        } else if (wrong.contains(Wrong.OVERLAP)) {
            first = 0x20000;
            last = 0x20fff;
        }
        if (input) {
            last = 0x100fff;
        }
        long output = wrong.contains(Wrong.OUTPUT) ? -0x1000L : RAM;
        if (wrong.contains(Wrong.OUTPUT)) {
            last += 0x1000;
        }
        if (wrong.contains(Wrong.ALIGNMENT)) {
            first += 1;
        }
        if (wrong.contains(Wrong.ORDER)) {
            last = first - 1;
        }
        String before = t5.digest();
        Status status = t5.map(domain, first, last, output, READ);
        if (status != Status.OK) {
            assertThat(t5.digest()).isEqualTo(before);
        }
        return status;
    }

    // --- UNMAP

    /** Mappings of each example, the UNMAP, its answer, and how many are left. */
    private static void example(long[][] maps, long last, Status status, long left) {
        Machine e = new Machine(Machine.granule(1));
        e.plug(1);
        e.attach(1, 7);
        for (long[] map : maps) {
            assertThat(e.map(7, map[0], map[1], RAM, READ)).isEqualTo(Status.OK);
        }
        assertThat(e.unmap(7, 0, last)).isEqualTo(status);
        assertThat(e.iommu.mappingCount()).isEqualTo(left);
        List<Long> starts = new ArrayList<>();
        if (e.requests.domain(7) instanceof PagingDomain domain) {
            domain.mappings(0, -1L, (f, l, o, flags) -> starts.add(f));
        }
        assertThat(starts).hasSize((int) left);
    }

    @Test
    @Tag("P-13")
    @Tag("D-43")
    @Tag("D-44")
    @Tag("D-45")
    @DisplayName("P-13, D-43, D-44, D-45: examples 1 to 7 of 5.13.6.6")
    void theExamplesOfTheSpecAreExact() {
        example(new long[][] {}, 4, Status.OK, 0);
        example(new long[][] {{0, 9}}, 9, Status.OK, 0);
        example(new long[][] {{0, 4}, {5, 9}}, 9, Status.OK, 0);
        example(new long[][] {{0, 9}}, 4, Status.RANGE, 1);
        example(new long[][] {{0, 4}, {5, 9}}, 4, Status.OK, 1);
        example(new long[][] {{0, 4}}, 9, Status.OK, 0);
        example(new long[][] {{0, 4}, {10, 14}}, 14, Status.OK, 0);
    }

    @Test
    @Tag("D-44")
    @Tag("D-43")
    @DisplayName(
            "D-43, D-44: a split at either end removes nothing, whole mappings before it neither")
    void unmapThatSplitsAMappingReturnsRange() {
        m.attach(1, 7);
        m.map(7, 0x1000, 0x1fff, RAM, READ);
        m.map(7, 0x3000, 0x5fff, RAM, READ);
        m.map(7, 0x8000, 0x8fff, RAM, READ);

        refused(Status.RANGE, () -> m.unmap(7, 0, 0x3fff));
        refused(Status.RANGE, () -> m.unmap(7, 0x4000, 0x8fff));
        refused(Status.RANGE, () -> m.unmap(7, 0x4000, 0x4fff));
        refused(Status.RANGE, () -> m.unmap(7, 0x1001, 0x1fff));
        refused(Status.RANGE, () -> m.unmap(7, 0x1000, 0x1ffe));
    }

    @Test
    @Tag("D-41")
    @Tag("D-42")
    @DisplayName("D-41, D-42: UNMAP on a missing and on a bypass domain; ends in the wrong order")
    void unmapOnTheWrongDomain() {
        m.attach(1, 7);
        m.attach(2, 8, true);
        m.map(7, 0, 0xfff, RAM, READ);

        refused(Status.NOENT, () -> m.unmap(9, 0, 0xfff));
        refused(Status.INVAL, () -> m.unmap(8, 0, 0xfff));
        refused(Status.INVAL, () -> m.unmap(7, 0x1000, 0xfff));
    }

    // --- quotas

    @Test
    void atTheLimitOfMappingsAMapIsNomemAndCounted() {
        m.attach(1, 7);
        m.attach(2, 8);
        for (int i = 0; i < 64; i++) {
            assertThat(m.map(7 + (i & 1), i * 0x1000L, i * 0x1000L + 0xfff, RAM, READ))
                    .isEqualTo(Status.OK);
        }

        refused(Status.NOMEM, () -> m.map(7, 0x100000, 0x100fff, RAM, READ));
        assertThat(m.iommu.refusedByLimit()).isEqualTo(1);
        refused(Status.INVAL, () -> m.map(7, 0, 0xfff, RAM, READ));
        assertThat(m.iommu.refusedByLimit()).as("not the limit's").isEqualTo(1);
        m.detach(2, 8);
        assertThat(m.iommu.mappingCount()).isEqualTo(32);
        assertThat(m.map(7, 0x100000, 0x100fff, RAM, READ)).isEqualTo(Status.OK);
    }

    @Test
    void atTheLimitOfDomainsAnAttachIsNomemUnlessItEndsOne() {
        for (int i = 10; i < 18; i++) {
            m.plug(i);
            assertThat(m.attach(i, i)).isEqualTo(Status.OK);
        }

        refused(Status.NOMEM, () -> m.attach(1, 99));
        assertThat(m.iommu.refusedByLimit()).isEqualTo(1);
        assertThat(m.attach(10, 99)).as("10 ends").isEqualTo(Status.OK);
        assertThat(m.iommu.domainCount()).isEqualTo(8);
        assertThat(m.attach(1, 11)).as("an old one").isEqualTo(Status.OK);
        refused(Status.NOMEM, () -> m.attach(1, 98));
    }

    @Test
    void endpointsAreLimitedAndUnique() {
        assertThatThrownBy(() -> m.plug(1)).isInstanceOf(IllegalArgumentException.class);
        for (int i = 100; i < 114; i++) {
            m.plug(i);
        }
        assertThatThrownBy(() -> m.plug(200)).isInstanceOf(IllegalArgumentException.class);
        assertThat(m.iommu.endpoint(200)).isNull();
    }

    @Test
    void optionsThatMakeNoSenseAreRefused() {
        assertThatThrownBy(() -> Machine.granule(0)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> properties(0, 1, 0)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() ->
                        Machine.strict()
                                .pageSizeMask(1)
                                .domainRange(-1, 0)
                                .endpointLimit(1)
                                .domainLimit(1)
                                .mappingLimit(1)
                                .build())
                .isInstanceOf(IllegalArgumentException.class);
    }

    // --- reset

    @Test
    @Tag("P-01")
    @Tag("D-07")
    @Tag("D-08")
    @DisplayName("P-01, D-07, D-08: reset drops everything but bypass, system reset restores that")
    void resetLeavesNothingButBypass() {
        m.attach(1, 7);
        m.attach(2, 8, true);
        m.map(7, 0, 0xfff, RAM, READ);
        m.iommu.bypass(true);
        m.read(dma, 0x5000);

        m.reset();

        assertThat(m.iommu.isBypassing()).isTrue();
        assertThat(m.iommu.domainCount()).isZero();
        assertThat(m.iommu.mappingCount()).isZero();
        assertThat(one.isAttached()).isFalse();
        assertThat(two.domainId()).isEqualTo(-1);
        assertThat(m.faults.isEmpty()).isTrue();
        assertThat(m.unmap(7, 0, 0xfff)).isEqualTo(Status.NOENT);
        assertThat(m.read(dma, RAM)).isEqualTo(byteAt(RAM));
        m.systemReset();
        assertThat(m.iommu.isBypassing()).isFalse();
        assertThat(m.read(dma, RAM)).isEqualTo(Outcome.FAULT);
        assertThat(m.attach(1, 7)).isEqualTo(Status.OK);
    }

    @Test
    void resetsDoNotPileUpWhatWaitsForALeaseThatNobodyCanTakeBack() {
        for (int i = 0; i < 10; i++) {
            m.attach(1, 7);
            m.map(7, 0, 0xfff, RAM, READ);
            Domain domain = requireNonNull(m.requests.domain(7));
            StuckLease stuck =
                    new StuckLease(m.guards, m.memory, domain, one.attachment(), 0, 0xfff);
            m.requests.unmap(7, 0, 0xfff, new Replies.One());
            m.requests.detach(1, 7, new Replies.One());
            assertThat(m.guards.waitingCount()).isEqualTo(2);

            m.reset();

            assertThat(m.guards.waitingCount()).as("after reset %d", i).isZero();
            assertThat(m.unrevocable).hasSize(i + 1);
            stuck.release();
            stuck.lease().close();
        }
    }

    @Test
    void resetTakesLeasesBackWithoutAFault() {
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        Lease lease = m.pin(dma, 0, 0x1000);
        Replies.One unmap = new Replies.One();
        m.requests.unmap(7, 0, 0xfff, unmap);

        m.reset();

        assertThat(lease.isRevoked()).isTrue();
        assertThat(m.guards.leaseCount()).isZero();
        assertThat(m.faults.isEmpty()).isTrue();
        m.guards.poll();
        assertThat(m.guards.hasPending()).isFalse();
    }

    // --- waiting

    @Test
    void unmapIsAnsweredWhenTheLeaseOnItsRangeEnds() {
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        m.map(7, 0x1000, 0x1fff, RAM, READ);
        Lease lease = m.pin(dma, 0xff0, 0x10);
        Replies replies = new Replies();

        m.requests.unmap(7, 0x1000, 0x1fff, replies.as("beside"));
        m.requests.unmap(7, 0, 0xfff, replies.as("held"));
        m.requests.map(7, 0, 0xfff, RAM + 0x1000, READ, replies.as("again"));
        m.guards.poll();

        assertThat(replies.all()).containsExactly("beside=OK", "again=OK");
        assertThat(m.read(dma, 0)).isEqualTo(byteAt(RAM + 0x1000));
        lease.close();
        m.guards.poll();
        assertThat(replies.all()).containsExactly("beside=OK", "again=OK", "held=OK");
    }

    @Test
    void leasesOnTheNewMappingDoNotHoldUpTheOldUnmap() {
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        Lease old = m.pin(dma, 0, 1);
        Replies.One unmap = new Replies.One();
        m.requests.unmap(7, 0, 0xfff, unmap);
        m.map(7, 0, 0xfff, RAM, READ);
        Lease fresh = m.pin(dma, 0, 1);

        old.close();
        m.guards.poll();

        assertThat(unmap.status()).isEqualTo(Status.OK);
        fresh.close();
    }

    @Test
    void aSecondUnmapOfADrainingRangeIsNotAnsweredEarlier() {
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        Lease lease = m.pin(dma, 0, 1);
        Replies replies = new Replies();
        m.requests.unmap(7, 0, 0xfff, replies.as("first"));

        m.requests.unmap(7, 0, 0xfff, replies.as("second"));

        assertThat(replies.all()).isEmpty();
        lease.close();
        m.guards.poll();
        assertThat(replies.all()).containsExactly("first=OK", "second=OK");
    }

    @Test
    void aSecondUnmapOfABatchIsNotAnsweredEarlier() {
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        Lease lease = m.pin(dma, 0, 1);
        Replies replies = new Replies();

        m.iommu.beginBatch();
        m.requests.unmap(7, 0, 0xfff, replies.as("first"));
        m.requests.unmap(7, 0, 0xfff, replies.as("second"));
        m.iommu.endBatch();

        assertThat(replies.all()).isEmpty();
        lease.close();
        m.guards.poll();
        assertThat(replies.all()).containsExactly("first=OK", "second=OK");
    }

    @Test
    void aBatchMayHaveMoreUnmapsThanWaitTogether() {
        m.attach(1, 7);
        Lease lease = null;
        Replies replies = new Replies();
        List<String> all = new ArrayList<>();
        m.iommu.beginBatch();
        for (int i = 0; i < 130; i++) {
            m.map(7, 0, 0xfff, RAM, READ);
            if (i == 0) {
                lease = m.pin(dma, 0, 1);
            }
            m.requests.unmap(7, 0, 0xfff, replies.as("unmap " + i));
            all.add("unmap " + i + "=OK");
        }
        m.iommu.endBatch();

        assertThat(replies.all()).isEmpty();
        requireNonNull(lease).close();
        m.guards.poll();
        assertThat(replies.all()).containsExactlyElementsOf(all);
    }

    @Test
    void unmapInAnotherDomainIsNotHeldUp() {
        m.attach(1, 7);
        m.attach(2, 8);
        m.map(7, 0, 0xfff, RAM, READ);
        m.map(8, 0, 0xfff, RAM, READ);
        Lease lease = m.pin(dma, 0, 1);

        assertThat(m.unmap(8, 0, 0xfff)).isEqualTo(Status.OK);

        lease.close();
    }

    @Test
    @Tag("D-31")
    @DisplayName("D-31: DETACH and ATTACH elsewhere are answered when the endpoint's leases end")
    void movesWaitForTheLeasesOfTheEndpoint() {
        m.attach(1, 7);
        m.attach(2, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        Lease lease = m.pin(dma, 0, 1);
        Lease others = m.pin(m.dma(two), 0, 1);
        Replies replies = new Replies();

        m.requests.attach(1, 8, false, replies.as("attach"));
        m.requests.detach(1, 8, replies.as("detach"));
        m.guards.poll();
        assertThat(replies.all()).isEmpty();
        lease.close();
        m.guards.poll();

        assertThat(replies.all()).containsExactly("attach=OK", "detach=OK");
        others.close();
    }

    @Test
    void aPendingUnmapOutlivesItsDomain() {
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        Lease lease = m.pin(dma, 0, 1);
        Replies replies = new Replies();
        m.requests.unmap(7, 0, 0xfff, replies.as("unmap"));
        m.requests.detach(1, 7, replies.as("detach"));
        m.requests.attach(1, 7, false, replies.as("attach"));

        lease.close();
        m.guards.poll();

        assertThat(replies.all()).containsExactlyInAnyOrder("unmap=OK", "detach=OK", "attach=OK");
    }

    @Test
    void aLeasePastItsDeadlineIsTakenBackWithAFault() {
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        Lease lease =
                java.util.Objects.requireNonNull(
                        dma.pin(0x10, 4, Access.READ, m.clock.getAsLong() + 10));
        Replies.One unmap = new Replies.One();
        m.requests.unmap(7, 0, 0xfff, unmap);

        m.clock.advance(10);
        m.guards.poll();

        assertThat(unmap.status()).isEqualTo(Status.OK);
        assertThat(lease.isRevoked()).isTrue();
        assertThat(one.counts().faults()).isEqualTo(1);
        Fault fault = m.faults.recent().getFirst();
        assertThat(fault.address()).isEqualTo(0x10);
        assertThat(fault.explanation()).contains("0x10..0x13", "deadline");
    }

    // --- faults

    @Test
    void faultsTellWhoWhereHowAndWhy() {
        m.access(dma, 0x123, Access.WRITE);
        m.attach(1, 7);
        m.access(dma, 0x7fff1234L, Access.READ);
        m.map(7, 0x2000, 0x2fff, RAM, READ);
        m.access(dma, 0x2004, Access.WRITE);
        m.access(dma, 0x9004, Access.READ);

        List<Fault> faults = m.faults.recent();
        assertThat(faults)
                .extracting(Fault::reason)
                .containsExactly(
                        FaultReason.DOMAIN,
                        FaultReason.MAPPING,
                        FaultReason.MAPPING,
                        FaultReason.MAPPING);
        assertThat(faults)
                .extracting(Fault::address)
                .containsExactly(0x123L, 0x7fff1234L, 0x2004L, 0x9004L);
        assertThat(faults)
                .extracting(Fault::access)
                .containsExactly(Access.WRITE, Access.READ, Access.WRITE, Access.READ);
        assertThat(faults).extracting(Fault::endpoint).containsOnly(1);
        assertThat(faults.get(0).explanation()).contains("no domain");
        assertThat(faults.get(1).explanation()).contains("0x7", "no mapping at all");
        assertThat(faults.get(2).explanation()).contains("0x2000..0x2fff without WRITE");
        assertThat(faults.get(3).explanation()).contains("nearest is 0x2000..0x2fff");
    }

    @Test
    void oneSectionReportsItsFirstFaultAndCountsAll() {
        m.attach(1, 7);

        dma.enter();
        dma.resolve(0x1000, 1, Access.READ);
        dma.resolve(0x9000, 1, Access.WRITE);
        assertThat(m.faults.isEmpty()).as("not inside the section").isTrue();
        dma.leave();

        assertThat(m.faults.recent()).hasSize(1);
        assertThat(m.faults.recent().getFirst().address()).isEqualTo(0x1000);
        assertThat(one.counts().faults()).isEqualTo(2);
        assertThat(m.guard.isOpen()).isFalse();
    }
}
