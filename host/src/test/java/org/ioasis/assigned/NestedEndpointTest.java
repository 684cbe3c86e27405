// SPDX-License-Identifier: Apache-2.0
package org.ioasis.assigned;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.Refusals.refuses;
import static org.ioasis.iommu.mapping.MapFlags.READ;
import static org.ioasis.iommu.mapping.MapFlags.WRITE;
import static org.ioasis.iommufd.HwDevice.NO_PASID;
import static org.ioasis.iommufd.engine.NestedMachine.ADDRESS;
import static org.ioasis.iommufd.engine.NestedMachine.FIRST;
import static org.ioasis.iommufd.engine.NestedMachine.PAGE;
import static org.ioasis.iommufd.engine.NestedMachine.PAGES;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.Domain;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.PagingDomain;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.TableDomain;
import org.ioasis.iommu.VtdTable;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.mapping.IntervalStore;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.Ioas;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.LockedMemory;
import org.ioasis.iommufd.Owner;
import org.ioasis.iommufd.PageRun;
import org.ioasis.iommufd.ProgramMemory;
import org.ioasis.iommufd.SegmentMemory;
import org.ioasis.iommufd.engine.NestedMachine;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Outcome;
import org.ioasis.vtd.VtdIommu;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** A table that a guest hands over to its IOMMU stands before its memory at the host's. */
class NestedEndpointTest {
    private static final long IOVA = 0x12_3456_7000L;
    private static final long OTHER_IOVA = IOVA + PAGE;
    private static final long ACCESSED = 1 << 5;
    private static final long READ_WRITE = 7;
    private static final long HALF = PAGES / 2 * PAGE;
    private static final long LAST = FIRST + PAGES * PAGE - 1;

    private final NestedMachine machine =
            new NestedMachine(VtdIommu.maker(VtdIommu.CAP, VtdIommu.ECAP));
    private final Guards guards = new Guards(System::nanoTime, _ -> {});
    private final Iommu guest =
            new Iommu(
                    IommuOptions.DEFAULT.toBuilder().bypassAtStart(false).build(),
                    guards,
                    new FaultQueue(64, 256, System::nanoTime),
                    IntervalStore::new);
    private final GuestMemory memory = new GuestMemory(guards, 4);
    private final Iotlb cached = new Iotlb(64);
    private final Ioas ioas = machine.context.allocateIoas();
    private final NestedEndpoint listener = listener(machine.owner);
    private final Attachment attachment = guest.plug(7, EndpointProperties.UNLIMITED).attachment();
    private final long root = machine.allocate();
    private final Dma dma = machine.dma(NO_PASID);
    private final LockedMemory locked = new LockedMemory(new AtomicLong(), -1);
    private Status answer = Status.IOERR;
    private int ids;

    NestedEndpointTest() throws IommufdException {
        guest.listen(attachment, listener);
    }

    @AfterEach
    void end() {
        listener.close();
        machine.close();
    }

    /** Two pieces of memory, side by side. */
    private NestedEndpoint listener(Owner owner) throws IommufdException {
        List<AssignedGroup.Ram> ram =
                List.of(
                        new AssignedGroup.Ram(FIRST, FIRST + HALF - 1, owner, ADDRESS),
                        new AssignedGroup.Ram(FIRST + HALF, LAST, owner, ADDRESS + HALF));
        return NestedEndpoint.of(machine.context, machine.device, ioas, ram);
    }

    /** What a device reads of memory as it is while more of that is being mapped. */
    private final class Watched implements ProgramMemory {
        private final SegmentMemory memory = new SegmentMemory(ADDRESS, machine.ram, locked);
        private final List<Long> seen = new ArrayList<>();

        @Override
        public boolean isGone() {
            return memory.isGone();
        }

        @Override
        public LockedMemory locked() {
            return memory.locked();
        }

        @Override
        public int read(long address, MemorySegment to, long offset, long length) {
            return memory.read(address, to, offset, length);
        }

        @Override
        public int write(long address, MemorySegment from, long offset, long length) {
            return memory.write(address, from, offset, length);
        }

        @Override
        public @Nullable PageRun pages(long address, long length, boolean isWrite) {
            seen.add(machine.read(dma, FIRST));
            return memory.pages(address, length, isWrite);
        }
    }

    @Test
    @Tag("S28")
    void whileItsMemoryIsPutBehindATableTheDeviceReachesNothing() throws IommufdException {
        listener.close();
        Watched watched = new Watched();
        try (NestedEndpoint other = listener(new Owner(watched, false))) {
            Attachment moved = guest.plug(8, EndpointProperties.UNLIMITED).attachment();
            guest.listen(moved, other);
            guest.attach(moved, table(root), status -> answer = status);
            assertThat(answer).isEqualTo(Status.OK);
            assertThat(watched.seen).hasSizeGreaterThan(1).containsOnly(-1L);
            guest.detach(moved, status -> answer = status);
            assertThat(answer).isEqualTo(Status.OK);
        }
        assertThat(locked.locked()).isZero();
    }

    private TableDomain table(long top) {
        return guest.tableDomain(++ids, new VtdTable(top, 0, 48), memory, cached);
    }

    private Status attach(Domain domain) {
        guest.attach(attachment, domain, status -> answer = status);
        return answer;
    }

    private Status detach() {
        guest.detach(attachment, status -> answer = status);
        return answer;
    }

    /** A page with this word in it, which the table leads to. */
    private long page(long top, long iova, long word) {
        long page = machine.allocate();
        machine.set(page, word);
        machine.map(top, iova, page | READ_WRITE, READ_WRITE);
        return page;
    }

    @Test
    @Tag("S28")
    void whatTheGuestWritesIntoItsTableIsWhatTheDeviceReachesThroughBothStages() {
        long page = page(root, IOVA, 0x11);
        assertThat(machine.read(dma, IOVA)).isEqualTo(-1);
        assertThat(attach(table(root))).isEqualTo(Status.OK);
        assertThat(machine.read(dma, IOVA)).isEqualTo(0x11);
        assertThat(machine.write(dma, IOVA, 0x12)).isEqualTo(Outcome.OK);
        assertThat(machine.get(page)).isEqualTo(0x12);
        assertThat(machine.get(root) & ACCESSED).as("the host has marked it").isNotZero();
        assertThat(machine.read(dma, page)).as("an address between the stages").isEqualTo(-1);
        page(root, OTHER_IOVA, 0x13);
        assertThat(machine.read(dma, OTHER_IOVA)).as("what is new needs no word").isEqualTo(0x13);
        assertThat(listener.tables()).isEqualTo(1);
        assertThat(machine.iommu.tableCounts().attachments()).isEqualTo(1);

        assertThat(detach()).isEqualTo(Status.OK);
        assertThat(machine.read(dma, IOVA)).isEqualTo(-1);
        assertThat(machine.read(dma, page)).isEqualTo(-1);
        assertThat(ioas.mappings()).isZero();
    }

    @Test
    @Tag("S28")
    void aTableThatLeadsOutOfTheGuestsMemoryLeadsNowhere() {
        machine.map(root, IOVA, (LAST + 1) | READ_WRITE, READ_WRITE);
        machine.map(root, OTHER_IOVA, ADDRESS | READ_WRITE, READ_WRITE);
        attach(table(root));
        assertThat(machine.read(dma, IOVA)).isEqualTo(-1);
        assertThat(machine.read(dma, OTHER_IOVA)).isEqualTo(-1);
        assertThat(attach(table(LAST + 1))).as("nor a table there").isEqualTo(Status.OK);
        assertThat(machine.read(dma, IOVA)).isEqualTo(-1);
    }

    @Test
    @Tag("S28")
    void afterAnInvalidationTheHostFindsNothingOfBefore() {
        TableDomain domain = table(root);
        attach(domain);
        page(root, IOVA, 0x21);
        page(root, OTHER_IOVA, 0x22);
        assertThat(machine.read(dma, IOVA)).isEqualTo(0x21);
        assertThat(machine.read(dma, OTHER_IOVA)).isEqualTo(0x22);
        page(root, IOVA, 0x31);
        page(root, OTHER_IOVA, 0x32);

        domain.invalidate(IOVA, IOVA + PAGE - 1, status -> answer = status);

        assertThat(answer).isEqualTo(Status.OK);
        assertThat(machine.read(dma, IOVA)).isEqualTo(0x31);
        assertThat(machine.read(dma, OTHER_IOVA)).as("kept by the host").isEqualTo(0x22);
        domain.invalidate(status -> answer = status);
        assertThat(machine.read(dma, OTHER_IOVA)).isEqualTo(0x32);
        domain.invalidate(-PAGE, -1L, status -> answer = status);
        domain.invalidate(0, PAGE - 1, status -> answer = status);
        assertThat(listener.invalidations()).isEqualTo(4);
        assertThat(machine.iommu.tableCounts().nativeEntries()).isEqualTo(4);
    }

    @Test
    @Tag("S28")
    void fromMappingsToATableToAnotherAndBack() {
        int before = machine.context.objects();
        long page = page(root, IOVA, 0x41);
        long second = machine.allocate();
        long other = page(second, IOVA, 0x42);
        PagingDomain mapped = guest.pagingDomain(++ids);
        mapped.map(IOVA, IOVA + PAGE - 1, other, READ | WRITE, status -> answer = status);
        assertThat(attach(mapped)).isEqualTo(Status.OK);
        assertThat(machine.read(dma, IOVA)).isEqualTo(0x42);
        assertThat(attach(table(root))).isEqualTo(Status.OK);
        assertThat(machine.read(dma, IOVA)).isEqualTo(0x41);
        assertThat(attach(table(second))).isEqualTo(Status.OK);
        assertThat(machine.read(dma, IOVA)).isEqualTo(0x42);
        assertThat(attach(mapped)).isEqualTo(Status.OK);
        assertThat(machine.read(dma, IOVA)).isEqualTo(0x42);
        assertThat(machine.read(dma, page)).as("no memory as it is").isEqualTo(-1);
        assertThat(listener.tables()).isEqualTo(2);
        assertThat(listener.losses()).isZero();
        assertThat(machine.context.objects()).as("no table of before").isEqualTo(before);
    }

    @Test
    @Tag("S28")
    void whatTheHostRefusesIsRefusedToTheGuestAndAllIsAsItWas() throws IommufdException {
        listener.close();
        LockedMemory few = new LockedMemory(new AtomicLong(), PAGES - 1);
        NestedEndpoint poor =
                listener(new Owner(new SegmentMemory(ADDRESS, machine.ram, few), false));
        Attachment other = guest.plug(8, EndpointProperties.UNLIMITED).attachment();
        guest.listen(other, poor);
        long page = page(root, IOVA, 0x51);
        PagingDomain mapped = guest.pagingDomain(++ids);
        mapped.map(IOVA, IOVA + PAGE - 1, page, READ, status -> answer = status);
        guest.attach(other, mapped, status -> answer = status);
        assertThat(answer).isEqualTo(Status.OK);

        guest.attach(other, table(root), status -> answer = status);

        assertThat(answer).as("not all of its memory may be locked").isEqualTo(Status.NOMEM);
        assertThat(other.domain()).isSameAs(mapped);
        assertThat(machine.read(dma, IOVA)).isEqualTo(0x51);
        assertThat(machine.write(dma, IOVA, 1)).isEqualTo(Outcome.FAULT);
        assertThat(poor.tables()).isZero();
        assertThat(poor.losses()).isZero();
        guest.detach(other, status -> answer = status);
        poor.close();
        assertThat(few.locked()).isZero();
        machine.device.attach(machine.parent.id(), NO_PASID);
        assertThat(machine.read(dma, page)).as("it can be given away again").isEqualTo(0x51);
    }

    @Test
    @Tag("S28")
    void whoGivesTheDeviceBackHasEmptiedItsSpaceAndAddsNothingMore() throws IommufdException {
        PagingDomain mapped = guest.pagingDomain(++ids);
        long page = page(root, IOVA, 0x61);
        mapped.map(IOVA, IOVA + PAGE - 1, page, READ | WRITE, status -> answer = status);
        assertThat(attach(mapped)).isEqualTo(Status.OK);
        assertThat(ioas.mappings()).isEqualTo(1);

        listener.close();

        assertThat(ioas.mappings()).isZero();
        int objects = machine.context.objects();
        mapped.map(
                OTHER_IOVA, OTHER_IOVA + PAGE - 1, page, READ | WRITE, status -> answer = status);
        assertThat(answer).isEqualTo(Status.DEVERR);
        assertThat(attach(table(root))).isEqualTo(Status.DEVERR);
        assertThat(attachment.domain()).isSameAs(mapped);
        mapped.unmap(IOVA, IOVA + PAGE - 1, status -> answer = status);
        assertThat(answer).as("taking away cannot be refused").isEqualTo(Status.OK);
        assertThat(detach()).isEqualTo(Status.OK);
        assertThat(ioas.mappings()).isZero();
        assertThat(machine.context.objects()).isEqualTo(objects);
        assertThat(listener.losses()).isZero();
        assertThat(machine.read(dma, IOVA)).isEqualTo(-1);
    }

    @Test
    @Tag("S28")
    void whoGivesTheDeviceBackBehindATableHearsOfItsEndAndOfInvalidations() {
        TableDomain domain = table(root);
        assertThat(attach(domain)).isEqualTo(Status.OK);
        listener.close();
        assertThat(ioas.mappings()).isZero();
        domain.invalidate(status -> answer = status);
        assertThat(answer).isEqualTo(Status.OK);
        assertThat(listener.invalidations()).isZero();
        assertThat(detach()).isEqualTo(Status.OK);
    }

    @Test
    @Tag("S28")
    void aHostWithoutSuchTablesIsRefusedWhenTheEndpointIsMade() throws IommufdException {
        NestedMachine poor = new NestedMachine(VtdIommu.maker(0, VtdIommu.ECAP));
        Ioas space = poor.context.allocateIoas();
        refuses(Errno.EINVAL, () -> NestedEndpoint.of(poor.context, poor.device, space, List.of()));
        int before = poor.context.objects();
        poor.context.destroy(space.id());
        assertThat(poor.context.objects()).as("nothing needs it").isEqualTo(before - 1);
        poor.close();
    }
}
