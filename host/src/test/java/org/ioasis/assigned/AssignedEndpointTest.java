// SPDX-License-Identifier: Apache-2.0
package org.ioasis.assigned;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommu.mapping.MapFlags.READ;
import static org.ioasis.iommu.mapping.MapFlags.WRITE;
import static org.ioasis.spec.VfioType1.TYPE1V2_IOMMU;

import java.lang.foreign.Arena;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.PagingDomain;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.ReservedRegion.Kind;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.IntervalStore;
import org.ioasis.iommufd.Device;
import org.ioasis.iommufd.HwDevice;
import org.ioasis.iommufd.Ioas;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.IovaRange;
import org.ioasis.iommufd.LockedMemory;
import org.ioasis.iommufd.Owner;
import org.ioasis.iommufd.SegmentMemory;
import org.ioasis.iommufd.TableDomain;
import org.ioasis.memory.Guards;
import org.ioasis.vfio.FakeDevice;
import org.ioasis.vfio.Type1;
import org.ioasis.vfio.Type1Kind;
import org.ioasis.vfio.VfioContainer;
import org.ioasis.vfio.VfioGroup;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** A guest's MAP and UNMAP reach the host's address space of an assigned device, or are refused. */
class AssignedEndpointTest {
    private static final long PAGE = 4096;
    private static final long IOVA = 1L << 30;
    private static final long RAM = 64 * PAGE;
    private static final long ADDRESS = 1L << 40;
    private static final IovaRange HOST_WINDOW = new IovaRange(0xfee00000L, 0xfeefffffL);

    private final IommufdNode node = IommufdNode.builder().build();
    private final LockedMemory locked = new LockedMemory(new AtomicLong(), 8);
    private final Owner owner =
            new Owner(
                    new SegmentMemory(ADDRESS, Arena.ofAuto().allocate(2 * RAM, PAGE), locked),
                    false);

    /** Two pieces with a hole between them. */
    private final List<AssignedGroup.Ram> memory =
            List.of(
                    new AssignedGroup.Ram(0, RAM - 1, owner, ADDRESS),
                    new AssignedGroup.Ram(2 * RAM, 3 * RAM - 1, owner, ADDRESS + RAM));

    private final Object hostIommu = new Object();
    private final FakeDevice one =
            new FakeDevice(node, hostIommu, true, List.of(HOST_WINDOW), (1L << 40) - 1);
    private final FakeDevice two = new FakeDevice(node, hostIommu, true, List.of(), -1);
    private final VfioGroup group = VfioGroup.of(3, List.of(one, two));
    private final VfioContainer container = new VfioContainer(List.of(new Type1Kind(node, 6)));
    private final Iommu iommu =
            new Iommu(
                    IommuOptions.DEFAULT.toBuilder().bypassAtStart(false).build(),
                    new Guards(System::nanoTime, _ -> {}),
                    new FaultQueue(64, 256, System::nanoTime),
                    IntervalStore::new);
    private Status answer = Status.IOERR;
    private int ids;

    private Type1 type1() throws IommufdException {
        group.setContainer(container);
        container.setIommu(TYPE1V2_IOMMU);
        if (container.driver() instanceof Type1 type1) {
            return type1;
        }
        throw new AssertionError("no container of type 1");
    }

    @AfterEach
    void nothingIsLeft() throws IommufdException {
        if (group.container() != null) {
            group.unsetContainer();
        }
        assertThat(node.heldPages()).isZero();
        assertThat(locked.locked()).isZero();
    }

    private Attachment plug(AssignedEndpoint listener) {
        Attachment attachment = iommu.plug(++ids, EndpointProperties.UNLIMITED).attachment();
        iommu.listen(attachment, listener);
        return attachment;
    }

    private Status map(PagingDomain domain, long iova, long pages, long output, int flags) {
        domain.map(iova, iova + pages * PAGE - 1, output, flags, status -> answer = status);
        return answer;
    }

    private Status unmap(PagingDomain domain, long iova, long pages) {
        domain.unmap(iova, iova + pages * PAGE - 1, status -> answer = status);
        return answer;
    }

    private Status attach(Attachment attachment, PagingDomain domain) {
        iommu.attach(attachment, domain, status -> answer = status);
        return answer;
    }

    private boolean reaches(long iova) {
        return one.reaches(iova) != TableDomain.NOWHERE;
    }

    @Test
    @Tag("S21")
    void whatTheGuestMapsTheDeviceReachesBeforeTheAnswer() throws IommufdException {
        Type1 type1 = type1();
        AssignedGroup assigned = new AssignedGroup(DmaTarget.of(type1), memory);
        Attachment attachment = plug(assigned.endpoint());
        PagingDomain domain = iommu.pagingDomain(1);
        assertThat(attach(attachment, domain)).isEqualTo(Status.OK);
        assertThat(map(domain, IOVA, 2, 4 * PAGE, READ | WRITE)).isEqualTo(Status.OK);
        assertThat(reaches(IOVA + PAGE)).isTrue();
        assertThat(locked.locked()).isEqualTo(2);
        assertThat(map(domain, 2 * IOVA, 4, RAM - 2 * PAGE, READ)).isEqualTo(Status.OK);
        assertThat(reaches(2 * IOVA + PAGE)).isTrue();
        assertThat(reaches(2 * IOVA + 2 * PAGE)).as("no memory is there").isFalse();
        assertThat(unmap(domain, IOVA, 2)).isEqualTo(Status.OK);
        assertThat(reaches(IOVA)).isFalse();
        iommu.detach(attachment, status -> answer = status);
        assertThat(answer).isEqualTo(Status.OK);
        assertThat(type1.mappings()).isZero();
        assertThat(reaches(2 * IOVA)).isFalse();
    }

    @Test
    @Tag("S21")
    void whatIsThereAtAttachIsReplayedSoThatEachMappingCanGoByItself() throws IommufdException {
        AssignedGroup assigned = new AssignedGroup(DmaTarget.of(type1()), memory);
        Attachment attachment = plug(assigned.endpoint());
        PagingDomain domain = iommu.pagingDomain(1);
        assertThat(attach(plugPlain(), domain)).isEqualTo(Status.OK);
        map(domain, IOVA, 1, 0, READ | WRITE);
        map(domain, IOVA + PAGE, 1, PAGE, READ | WRITE);
        assertThat(attach(attachment, domain)).isEqualTo(Status.OK);
        assertThat(assigned.size()).as("not as one run").isEqualTo(2);
        assertThat(unmap(domain, IOVA + PAGE, 1)).isEqualTo(Status.OK);
        assertThat(reaches(IOVA)).isTrue();
        assertThat(reaches(IOVA + PAGE)).isFalse();
        iommu.detach(attachment, status -> answer = status);
    }

    private Attachment plugPlain() {
        return iommu.plug(++ids, EndpointProperties.UNLIMITED).attachment();
    }

    @Test
    @Tag("S21")
    void whatTheHostRefusesIsRefusedToTheGuestAndTakenBack() throws IommufdException {
        Type1 type1 = type1();
        AssignedGroup assigned = new AssignedGroup(DmaTarget.of(type1), memory);
        AssignedEndpoint listener = assigned.endpoint();
        Attachment attachment = plug(listener);
        PagingDomain domain = iommu.pagingDomain(1);
        attach(attachment, domain);
        assertThat(map(domain, IOVA, 6, 0, READ | WRITE)).isEqualTo(Status.OK);
        assertThat(map(domain, 2 * IOVA, 3, 0, READ)).as("locked memory").isEqualTo(Status.NOMEM);
        assertThat(map(domain, 1L << 41, 1, 0, READ)).as("aperture").isEqualTo(Status.RANGE);
        assertThat(map(domain, HOST_WINDOW.first(), 1, 0, READ)).isEqualTo(Status.RANGE);
        // Two pieces of memory, of which the second does not fit any more.
        assertThat(map(domain, 3 * IOVA, 2 * RAM / PAGE + 4, RAM - PAGE, READ))
                .isEqualTo(Status.NOMEM);
        assertThat(listener.refusals()).isEqualTo(4);
        assertThat(domain.size()).as("the guest has no such mapping").isEqualTo(1);
        assertThat(type1.mappings()).isEqualTo(1);
        assertThat(assigned.size()).isEqualTo(1);
        assertThat(locked.locked()).isEqualTo(6);

        PagingDomain other = iommu.pagingDomain(2);
        attach(plugPlain(), other);
        map(other, IOVA, 1, 0, READ);
        map(other, 2 * IOVA, 9, 0, READ);
        assertThat(attach(attachment, other)).isEqualTo(Status.NOMEM);
        assertThat(attachment.domain()).isSameAs(domain);
        assertThat(reaches(IOVA + 5 * PAGE)).as("what it had it has again").isTrue();
        assertThat(locked.locked()).isEqualTo(6);
        assertThat(listener.losses()).isZero();
        iommu.detach(attachment, status -> answer = status);
    }

    @Test
    @Tag("S21")
    void twoDevicesOfAGroupShareWhatTheyAreToldAlike() throws IommufdException {
        AssignedGroup assigned = new AssignedGroup(DmaTarget.of(type1()), memory);
        Attachment first = plug(assigned.endpoint());
        Attachment second = plug(assigned.endpoint());
        PagingDomain domain = iommu.pagingDomain(1);
        attach(first, domain);
        attach(second, domain);
        assertThat(map(domain, IOVA, 2, 0, READ | WRITE)).isEqualTo(Status.OK);
        assertThat(locked.locked()).as("once").isEqualTo(2);
        assertThat(two.reaches(IOVA)).isEqualTo(one.reaches(IOVA));
        iommu.detach(first, status -> answer = status);
        assertThat(reaches(IOVA)).as("the other needs it").isTrue();
        PagingDomain other = iommu.pagingDomain(2);
        attach(plugPlain(), other);
        map(other, IOVA, 2, 8 * PAGE, READ);
        assertThat(attach(first, other)).as("not differently").isEqualTo(Status.UNSUPP);
        assertThat(unmap(domain, IOVA, 2)).isEqualTo(Status.OK);
        assertThat(reaches(IOVA)).isFalse();
        assertThat(attach(first, other)).isEqualTo(Status.OK);
        assertThat(reaches(IOVA)).isTrue();
        iommu.detach(first, status -> answer = status);
        iommu.detach(second, status -> answer = status);
    }

    @Test
    @Tag("S21")
    void anAddressSpaceOfIommufdStandsBehindAsWell() throws IommufdException {
        IommufdContext context = node.openContext();
        Device bound = context.bind(one);
        Ioas ioas = context.allocateIoas();
        bound.attach(ioas.id(), HwDevice.NO_PASID);
        AssignedGroup assigned = new AssignedGroup(DmaTarget.of(ioas), memory);
        Attachment attachment = plug(assigned.endpoint());
        PagingDomain domain = iommu.pagingDomain(1);
        attach(attachment, domain);
        assertThat(map(domain, IOVA, 2, 4 * PAGE, READ)).isEqualTo(Status.OK);
        assertThat(reaches(IOVA)).isTrue();
        assertThat(unmap(domain, IOVA, 2)).isEqualTo(Status.OK);
        assertThat(reaches(IOVA)).isFalse();
        iommu.detach(attachment, status -> answer = status);
        bound.detach(HwDevice.NO_PASID);
        bound.unbind();
        context.release();
    }

    @Test
    @Tag("S21")
    void aDeviceHasTheRegionsOfItsGroupAndTheDoorbellOfTheGuest() {
        ReservedRegion doorbell = new ReservedRegion(0x8000000, 0x80fffff, Kind.MSI);
        HostCapabilities capabilities = HostCapabilities.of(group, two, List.of(doorbell));
        assertThat(capabilities.reserved())
                .containsExactly(
                        new HostCapabilities.Value<>(
                                new ReservedRegion(
                                        HOST_WINDOW.first(), HOST_WINDOW.last(), Kind.RESERVED),
                                HostCapabilities.Origin.GROUP),
                        new HostCapabilities.Value<>(doorbell, HostCapabilities.Origin.PLATFORM));
        assertThat(capabilities.pasidBits())
                .isEqualTo(new HostCapabilities.Value<>(0, HostCapabilities.Origin.DEVICE));
        assertThat(capabilities.isCoherent().origin()).isEqualTo(HostCapabilities.Origin.GROUP);
        assertThat(capabilities.tracksDirty().value()).isFalse();
        assertThat(HostCapabilities.of(group, one, List.of(doorbell)).reserved())
                .as("both alike")
                .isEqualTo(capabilities.reserved());
        assertThat(capabilities.properties().reserved().regions())
                .extracting(ReservedRegion::kind)
                .containsExactly(Kind.MSI, Kind.RESERVED);
    }
}
