// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.Refusals.refusal;
import static org.ioasis.ioasid.IoasidAllocator.INVALID;
import static org.ioasis.ioasid.IoasidAllocator.LAST;

import java.util.TreeSet;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.spec.VtdVirtualCommand;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** PASIDs by the virtual command registers of VT-d (2.4). */
class VcmdAllocatorTest {
    private final TreeSet<Integer> pasids = new TreeSet<>();
    private int next = 0x1234;
    private final VcmdDevice device =
            new VcmdDevice(
                    new VcmdDevice.Host() {
                        @Override
                        public int allocate() {
                            int pasid = next++;
                            if (pasid > LAST) {
                                return INVALID;
                            }
                            pasids.add(pasid);
                            return pasid;
                        }

                        @Override
                        public boolean free(int pasid) {
                            return pasids.remove(pasid);
                        }
                    });
    private final IoasidAllocator ids = new IoasidAllocator();
    private final IoasidSet<Owned> set = new IoasidSet<>("guest", Owned.class);

    private Errno refusalOf(int first, int last) throws IommufdException {
        IoasidOps<VcmdRegisters> ops = VcmdAllocator.of(device);
        return refusal(() -> ops.allocate(first, last));
    }

    @Test
    @Tag("S16")
    void pasidsComeFromTheHypervisorAndGoBackToIt() throws IommufdException {
        ids.register(VcmdAllocator.of(device));
        int id = ids.allocate(set, VcmdAllocator.FIRST, LAST, null);
        assertThat(id).isEqualTo(0x1234);
        assertThat(pasids).containsExactly(0x1234);
        assertThat(ids.put(id)).isTrue();
        assertThat(pasids).isEmpty();
        assertThat(device.commands).isEqualTo(2);
        assertThat(ids.lost()).isZero();
    }

    @Test
    @Tag("S16")
    void theHighestPasidFitsAndThenThereIsNone() throws IommufdException {
        next = LAST;
        ids.register(VcmdAllocator.of(device));
        assertThat(ids.allocate(set, VcmdAllocator.FIRST, LAST, null)).isEqualTo(LAST);
        assertThat(ids.allocate(set, VcmdAllocator.FIRST, LAST, null)).isEqualTo(INVALID);
        assertThat(refusalOf(VcmdAllocator.FIRST, LAST)).isEqualTo(Errno.ENOSPC);
    }

    @Test
    @Tag("S16")
    void pasidZeroIsNotAskedFor() throws IommufdException {
        assertThat(refusalOf(0, LAST)).isEqualTo(Errno.EINVAL);
        assertThat(device.commands).isZero();
    }

    @Test
    @Tag("S16")
    void theCommandKnowsNoRangeSoWhatIsBesideItGoesBack() throws IommufdException {
        ids.register(VcmdAllocator.of(device));
        assertThat(ids.allocate(set, 1, 0x1233, null)).isEqualTo(INVALID);
        assertThat(pasids).isEmpty();
        assertThat(ids.outOfRange()).isEqualTo(1);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 15, 17, 127})
    @Tag("S16")
    void anyOtherStatusIsEnodev(int status) throws IommufdException {
        device.broken = status;
        assertThat(refusalOf(1, LAST)).isEqualTo(Errno.ENODEV);
        IoasidOps<VcmdRegisters> ops = VcmdAllocator.of(device);
        assertThat(refusal(() -> ops.free(77)))
                .as("a PASID that was not handed out")
                .isEqualTo(Errno.ENODEV);
    }

    @Test
    @Tag("S16")
    void aCommandMayTakeAsManyLooksAsTheLimitAndNotOneMore() throws IommufdException {
        device.looks = VcmdAllocator.POLL_LIMIT - 1;
        IoasidOps<VcmdRegisters> ops = VcmdAllocator.of(device);
        assertThat(ops.allocate(1, LAST)).isEqualTo(0x1234);

        device.looks = VcmdAllocator.POLL_LIMIT + 1;
        assertThat(refusalOf(1, LAST)).isEqualTo(Errno.ENODEV);
        int before = device.commands;
        assertThat(refusalOf(1, LAST)).as("one that is on its way").isEqualTo(Errno.ENODEV);
        assertThat(device.commands).isEqualTo(before);
        device.looks = 0;
        assertThat(ops.allocate(1, LAST)).as("it has ended").isEqualTo(0x1236);
    }

    @Test
    @Tag("S16")
    void aUnitWithoutOneOfTheCapabilitiesIsRefused() throws IommufdException {
        device.cap = 0;
        assertThat(refusal(() -> VcmdAllocator.of(device))).isEqualTo(Errno.ENODEV);
        device.cap = VtdVirtualCommand.CAP_CACHING_MODE;
        device.ecap = VtdVirtualCommand.ECAP_SCALABLE_MODE;
        assertThat(refusal(() -> VcmdAllocator.of(device))).isEqualTo(Errno.ENODEV);
        device.ecap = VtdVirtualCommand.ECAP_VIRTUAL_COMMANDS;
        assertThat(refusal(() -> VcmdAllocator.of(device))).isEqualTo(Errno.ENODEV);
        device.ecap |= VtdVirtualCommand.ECAP_SCALABLE_MODE;
        device.vccap = 0;
        assertThat(refusal(() -> VcmdAllocator.of(device))).isEqualTo(Errno.ENODEV);
        device.vccap = VtdVirtualCommand.VCCAP_PASID;
        ids.register(VcmdAllocator.of(device));
        assertThat(device.commands).isZero();
    }

    @Test
    @Tag("S16")
    @Tag("S15")
    void theUnitsOfAGuestAreOneAllocator() throws IommufdException {
        VcmdDevice another =
                new VcmdDevice(
                        new VcmdDevice.Host() {
                            @Override
                            public int allocate() {
                                return INVALID;
                            }

                            @Override
                            public boolean free(int pasid) {
                                return pasids.remove(pasid);
                            }
                        });
        IoasidOps<VcmdRegisters> one = VcmdAllocator.of(device);
        IoasidOps<VcmdRegisters> two = VcmdAllocator.of(another);
        ids.register(one);
        ids.register(two);
        int id = ids.allocate(set, 1, LAST, null);
        assertThat(ids.unregister(one)).isEqualTo(new Unregistered(false, 0));
        assertThat(ids.put(id)).isTrue();
        assertThat(pasids).as("freed by the unit that is left").isEmpty();
    }
}
