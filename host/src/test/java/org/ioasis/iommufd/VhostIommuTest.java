// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommufd.HwDevice.NO_PASID;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_NEST_PARENT;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_PASID;
import static org.ioasis.spec.Iommufd.PGFAULT_FLAGS_LAST_PAGE;
import static org.ioasis.spec.Iommufd.PGFAULT_FLAGS_PASID_VALID;
import static org.ioasis.spec.VirtioIommuTables.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommufd.nesting.VhostIommu;
import org.ioasis.spec.IommufdNesting;
import org.ioasis.spec.VirtioIommu;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Which requests of a guest reach whoever owns its machine, and which are carried out without. */
class VhostIommuTest {
    private static final int LAST = PGFAULT_FLAGS_LAST_PAGE | PGFAULT_FLAGS_PASID_VALID;
    private static final int NAME = 0x1234;

    private final IommufdNode node = IommufdNode.builder().build();
    private final IommufdContext context = node.openContext();
    private final AskingDevice hardware = new AskingDevice(node);
    private final List<Integer> owners = new ArrayList<>();
    private final MemorySegment buffer = Arena.ofAuto().allocate(64, 8);
    private Device device;
    private Viommu viommu;
    private FaultQueue faults;
    private VhostIommu vhost;

    @BeforeEach
    void machine() throws IommufdException {
        device = context.bind(hardware);
        PagingHwpt parent =
                context.allocateHwpt(
                        device, context.allocateIoas(), HWPT_ALLOC_NEST_PARENT | HWPT_ALLOC_PASID);
        viommu = parent.allocateViommu(device, 1, null);
        viommu.allocateDevice(device, NAME);
        faults = context.allocateFaultQueue();
        NestedHwpt table =
                viommu.allocateNested(
                        device, 0, UserData.of(1, Arena.ofAuto().allocate(8)), faults);
        device.attach(table.id(), NO_PASID);
        vhost =
                new VhostIommu(
                        request -> {
                            owners.add((int) request.get(JAVA_BYTE, 0));
                            return VirtioIommu.S_OK;
                        },
                        faults);
        vhost.route(3, viommu::invalidate);
    }

    @AfterEach
    void unbind() {
        device.detach(NO_PASID);
        device.unbind();
    }

    private static MemorySegment request(int type, int bytes) {
        MemorySegment request = Arena.ofAuto().allocate(bytes, 8);
        request.set(JAVA_BYTE, 0, (byte) type);
        return request;
    }

    private static MemorySegment invalidation(int domain) {
        MemorySegment request = request(T_INVALIDATE, INVALIDATE_TAIL);
        request.set(JAVA_SHORT, INVALIDATE_GRANULARITY, (short) GRANULARITY_DOMAIN);
        request.set(JAVA_SHORT, INVALIDATE_TYPE, (short) TYPE_IOTLB);
        request.set(JAVA_INT, INVALIDATE_DOMAIN, domain);
        return request;
    }

    private static MemorySegment response(int endpoint, int pasid, int group, int code) {
        MemorySegment request = request(T_PAGE_RESPONSE, RESPONSE_TAIL);
        request.set(JAVA_INT, RESPONSE_ENDPOINT, endpoint);
        request.set(JAVA_INT, RESPONSE_FLAGS, RESPONSE_PASID_VALID);
        request.set(JAVA_INT, RESPONSE_PASID, pasid);
        request.set(JAVA_INT, RESPONSE_GROUP, group);
        request.set(JAVA_SHORT, RESPONSE_CODE, (short) code);
        return request;
    }

    @Test
    @Tag("S31")
    void anInvalidationIsCarriedOutWhereItIsWithoutACallOfTheOwner() {
        List<String> entries = new ArrayList<>();
        hardware.invalidator =
                (type, array, offset, length, count) -> {
                    entries.add(
                            "%x %d %d %d %d"
                                    .formatted(
                                            type,
                                            array.get(JAVA_INT, offset + INVALIDATE_DOMAIN),
                                            offset,
                                            length,
                                            count));
                    return Handled.all(count);
                };
        for (int i = 0; i < 10; i++) {
            assertThat(vhost.request(invalidation(3))).isEqualTo(VirtioIommu.S_OK);
        }
        assertThat(entries)
                .hasSize(10)
                .containsOnly("%x 3 0 60 1".formatted(IommufdNesting.INVALIDATE_VIRTIO));
        assertThat(vhost.invalidations()).isEqualTo(10);
        assertThat(vhost.ownersRequests()).isZero();
        assertThat(owners).isEmpty();
    }

    @Test
    @Tag("S31")
    void attachingATableAndProbingAreTheOwners() {
        assertThat(vhost.request(request(T_ATTACH_TABLE, 76))).isEqualTo(VirtioIommu.S_OK);
        assertThat(vhost.request(request(VirtioIommu.T_PROBE, 68))).isEqualTo(VirtioIommu.S_OK);
        assertThat(owners).containsExactly(T_ATTACH_TABLE, VirtioIommu.T_PROBE);
        assertThat(vhost.ownersRequests()).isEqualTo(2);
        assertThat(vhost.invalidations()).isZero();
    }

    @Test
    void aRefusalIsAStatusOfItsKind() {
        for (InvalidationRefusal refusal : InvalidationRefusal.values()) {
            hardware.invalidator = (_, _, _, _, _) -> Handled.refused(0, refusal);
            int expected =
                    switch (refusal) {
                        case UNSUPPORTED -> VirtioIommu.S_UNSUPP;
                        case RANGE -> VirtioIommu.S_RANGE;
                        case DEVICE, NO_DEVICE -> VirtioIommu.S_NOENT;
                        default -> VirtioIommu.S_INVAL;
                    };
            assertThat(vhost.request(invalidation(3))).as("%s", refusal).isEqualTo(expected);
        }
        assertThat(vhost.request(invalidation(4))).isEqualTo(VirtioIommu.S_NOENT);
        vhost.unroute(3);
        assertThat(vhost.request(invalidation(3))).isEqualTo(VirtioIommu.S_NOENT);
        assertThat(vhost.request(request(T_INVALIDATE, 59))).isEqualTo(VirtioIommu.S_INVAL);
        assertThat(vhost.request(request(T_PAGE_RESPONSE, 35))).isEqualTo(VirtioIommu.S_INVAL);
        assertThat(vhost.request(Arena.ofAuto().allocate(3))).isEqualTo(VirtioIommu.S_INVAL);
        assertThat(owners).isEmpty();
    }

    @Test
    @Tag("S31")
    @Tag("S34")
    void aPageRequestReachesTheGuestAndItsAnswerTheDeviceWithoutACallOfTheOwner() {
        device.requests().report(PGFAULT_FLAGS_PASID_VALID, 5, 9, FAULT_READ, 0x1000);
        assertThat(vhost.event(buffer)).as("the group is not whole").isZero();
        device.requests().report(LAST, 5, 9, FAULT_READ | FAULT_WRITE, 0x2000);

        assertThat(vhost.event(buffer)).isEqualTo(FAULT_SIZE);
        assertThat(buffer.get(JAVA_INT, FAULT_ENDPOINT)).isEqualTo(NAME);
        assertThat(buffer.get(JAVA_INT, FAULT_PASID)).isEqualTo(5);
        assertThat(buffer.get(JAVA_LONG, FAULT_ADDRESS)).isEqualTo(0x1000);
        assertThat((int) buffer.get(JAVA_SHORT, FAULT_GROUP)).isEqualTo(9);
        int always = FAULT_PAGE_REQUEST | FAULT_HAS_ADDRESS | FAULT_HAS_GROUP | FAULT_HAS_PASID;
        assertThat(buffer.get(JAVA_INT, FAULT_FLAGS)).isEqualTo(always | FAULT_READ);
        assertThat(vhost.event(buffer)).isEqualTo(FAULT_SIZE);
        assertThat(buffer.get(JAVA_LONG, FAULT_ADDRESS)).isEqualTo(0x2000);
        assertThat(buffer.get(JAVA_INT, FAULT_FLAGS))
                .isEqualTo(always | FAULT_READ | FAULT_WRITE | FAULT_LAST);
        assertThat(vhost.event(buffer)).isZero();

        assertThat(vhost.request(response(NAME, 5, 8, CODE_SUCCESS)))
                .isEqualTo(VirtioIommu.S_NOENT);
        assertThat(vhost.request(response(NAME, 5, 9, 3))).isEqualTo(VirtioIommu.S_INVAL);
        assertThat(vhost.request(response(NAME, 5, 9, CODE_FAILURE))).isEqualTo(VirtioIommu.S_OK);
        assertThat(vhost.request(response(NAME, 5, 9, CODE_SUCCESS)))
                .isEqualTo(VirtioIommu.S_NOENT);
        assertThat(hardware.answers)
                .containsExactly(new AskingDevice.Answer(5, 9, FaultQueue.FAILURE));
        assertThat(vhost.pageRequests()).isEqualTo(2);
        assertThat(vhost.responses()).isEqualTo(4);
        assertThat(vhost.ownersRequests()).isZero();
        assertThat(owners).isEmpty();
    }

    @Test
    void aGroupWhoseTableIsGoneIsUnknownAndTakesNoRoom() {
        for (int round = 0; round < 3 * FaultQueue.GROUPS_MAX; round++) {
            device.requests().report(LAST, 5, round, FAULT_READ, 0);
            assertThat(vhost.event(buffer)).isEqualTo(FAULT_SIZE);
            if (round % 1000 == 999) {
                int table = requireNonNull(device.attached(NO_PASID)).id();
                device.detach(NO_PASID);
                try {
                    device.attach(table, NO_PASID);
                } catch (IommufdException e) {
                    throw new AssertionError(e);
                }
                assertThat(vhost.request(response(NAME, 5, round, CODE_SUCCESS)))
                        .isEqualTo(VirtioIommu.S_NOENT);
            }
        }
        assertThat(hardware.answers).hasSizeGreaterThanOrEqualTo(12_000);
        assertThat(faults.refused()).isZero();
    }
}
