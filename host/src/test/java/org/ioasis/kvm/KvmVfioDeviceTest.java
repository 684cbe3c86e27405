// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kvm;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.Refusals.refusal;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.kvm.FakeVfio.Group;
import org.ioasis.spec.KvmVfio;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** KVM's VFIO device (5.2). */
class KvmVfioDeviceTest {
    private final List<Boolean> flips = new ArrayList<>();
    private final FailureInjector failures = new FailureInjector();
    private @Nullable VfioSymbols vfio = new FakeVfio();
    private final List<String> tied = new ArrayList<>();
    private final SpaprSymbols spapr =
            new SpaprSymbols() {
                @Override
                public void attach(OpenFile guestTable, VfioFile group) throws IommufdException {
                    if (!guestTable.name().equals("table")) {
                        throw new IommufdException(Errno.EBADF, "no table of a guest");
                    }
                    tied.add(guestTable.name() + " to " + ((Group) group).name());
                }

                @Override
                public void release(VfioFile group) {
                    tied.removeIf(pair -> pair.endsWith(((Group) group).name()));
                }
            };
    private final KvmVm machine = new KvmVm(() -> vfio, spapr, flips::add);
    private final KvmVfioDevice device = machine.createVfioDevice(failures);
    private final StubCaller caller = new StubCaller();
    private final Group coherent = new Group("coherent", true);
    private final Group noncoherent = new Group("noncoherent", false);

    KvmVfioDeviceTest() throws IommufdException {
        caller.served.put(3, coherent);
        caller.served.put(4, noncoherent);
        caller.served.put(5, new FakeVfio.Plain("other"));
        caller.isOthersOpen.put(6, false);
    }

    private int set(long attribute, int descriptor) {
        caller.bytes.set(JAVA_INT, 8, descriptor);
        return device.setAttribute(caller, KvmVfio.GROUP_FILE, attribute, 8);
    }

    private static int error(Errno errno) {
        return -errno.number();
    }

    @Test
    @Tag("S05")
    void aMachineHasOneAndAnotherWhenThatIsClosed() throws IommufdException {
        assertThat(refusal(() -> machine.createVfioDevice(failures))).isEqualTo(Errno.EBUSY);
        device.close();
        device.close();
        failures.arm(1);
        assertThat(refusal(() -> machine.createVfioDevice(failures))).isEqualTo(Errno.ENOMEM);
        KvmVfioDevice next = machine.createVfioDevice(failures);
        assertThat(next.files()).isZero();
        device.close();
        assertThat(refusal(() -> machine.createVfioDevice(failures)))
                .as("the old one's end is not the new one's")
                .isEqualTo(Errno.EBUSY);
        assertThat(refusal(() -> device.add(coherent, failures))).isEqualTo(Errno.EINVAL);
    }

    @Test
    @Tag("S05")
    void filesAreAddedOnceAndDeletedOnce() {
        assertThat(set(KvmVfio.FILE_ADD, 3)).isZero();
        assertThat(set(KvmVfio.FILE_ADD, 3)).isEqualTo(error(Errno.EEXIST));
        assertThat(set(KvmVfio.FILE_DEL, 4)).isEqualTo(error(Errno.ENOENT));
        assertThat(set(KvmVfio.FILE_ADD, 4)).isZero();
        assertThat(device.files()).isEqualTo(2);
        assertThat(machine.assigned()).isEqualTo(2);
        assertThat(set(KvmVfio.FILE_DEL, 3)).isZero();
        assertThat(set(KvmVfio.FILE_DEL, 3)).isEqualTo(error(Errno.ENOENT));
        assertThat(device.files()).isEqualTo(1);
        assertThat(machine.assigned()).isEqualTo(1);
    }

    @Test
    @Tag("S05")
    void whatIsNoFileOfVfioIsRefused() {
        for (long attribute : new long[] {KvmVfio.FILE_ADD, KvmVfio.FILE_DEL}) {
            assertThat(set(attribute, 99)).as("no descriptor").isEqualTo(error(Errno.EBADF));
            assertThat(set(attribute, -1)).isEqualTo(error(Errno.EBADF));
        }
        assertThat(set(KvmVfio.FILE_ADD, 6)).as("another file").isEqualTo(error(Errno.EINVAL));
        assertThat(set(KvmVfio.FILE_DEL, 6)).as("not here").isEqualTo(error(Errno.ENOENT));
        assertThat(set(KvmVfio.FILE_ADD, 5)).as("another of ours").isEqualTo(error(Errno.EINVAL));
        assertThat(caller.rule).isEqualTo("other is no file of VFIO");
        assertThat(caller.isOthersOpen).containsEntry(6, false);
        assertThat(device.files()).isZero();
        assertThat(flips).isEmpty();
    }

    @Test
    @Tag("S05")
    void otherGroupsAndAttributesAreEnxioAndValuesThatCannotBeReadEfault() throws Exception {
        for (int group : new int[] {0, 2, -1}) {
            assertThat(device.hasAttribute(group, KvmVfio.FILE_ADD)).isEqualTo(error(Errno.ENXIO));
            assertThat(device.setAttribute(caller, group, KvmVfio.FILE_ADD, 8))
                    .isEqualTo(error(Errno.ENXIO));
        }
        for (long attribute : new long[] {0, 4, -1}) {
            assertThat(device.hasAttribute(KvmVfio.GROUP_FILE, attribute))
                    .isEqualTo(error(Errno.ENXIO));
            assertThat(set(attribute, 3)).isEqualTo(error(Errno.ENXIO));
        }
        for (long attribute = KvmVfio.FILE_ADD;
                attribute <= KvmVfio.GROUP_SET_SPAPR_TCE;
                attribute++) {
            assertThat(device.hasAttribute(KvmVfio.GROUP_FILE, attribute)).isZero();
            assertThat(device.setAttribute(caller, KvmVfio.GROUP_FILE, attribute, 61))
                    .isEqualTo(error(Errno.EFAULT));
        }
        KvmVm plain = new KvmVm();
        try (KvmVfioDevice without = plain.createVfioDevice(failures)) {
            assertThat(without.hasAttribute(KvmVfio.GROUP_FILE, KvmVfio.GROUP_SET_SPAPR_TCE))
                    .isEqualTo(error(Errno.ENXIO));
            assertThat(refusal(() -> without.setSpaprTce(coherent, coherent)))
                    .isEqualTo(Errno.ENXIO);
        }
    }

    @Test
    @Tag("S06")
    void coherencyFlipsWithTheFirstThatDoesNotEnforceItAndTheLast() throws IommufdException {
        Group second = new Group("second", false);
        device.add(coherent, failures);
        assertThat(machine.emulatesWbinvd()).isFalse();
        device.add(noncoherent, failures);
        assertThat(machine.emulatesWbinvd()).isTrue();
        device.add(second, failures);
        device.delete(noncoherent);
        assertThat(machine.emulatesWbinvd()).isTrue();
        device.delete(second);
        assertThat(machine.emulatesWbinvd()).isFalse();
        device.delete(coherent);
        assertThat(flips).containsExactly(true, false);
    }

    @Test
    @Tag("S06")
    void whateverIsAddedAndDeletedTheAggregateFlipsOncePerChange() throws IommufdException {
        SplittableRandom random = new SplittableRandom(2021);
        List<Group> groups = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            groups.add(new Group("group " + i, i % 3 != 0));
        }
        List<Group> model = new ArrayList<>();
        List<Boolean> expected = new ArrayList<>();
        boolean isNoncoherent = false;
        for (int step = 0; step < 5000; step++) {
            Group group = groups.get(random.nextInt(groups.size()));
            if (model.remove(group)) {
                device.delete(group);
            } else {
                model.add(group);
                device.add(group, failures);
            }
            boolean isNow = model.stream().anyMatch(one -> !one.enforcesCoherency);
            if (isNow != isNoncoherent) {
                isNoncoherent = isNow;
                expected.add(isNow);
            }
            assertThat(machine.emulatesWbinvd()).isEqualTo(isNow);
            assertThat(flips).isEqualTo(expected);
        }
        assertThat(flips).hasSizeGreaterThan(500);
        device.close();
        assertThat(machine.emulatesWbinvd()).isFalse();
        assertThat(flips).hasSize(expected.size() + (isNoncoherent ? 1 : 0));
        assertThat(groups).allSatisfy(group -> assertThat(group.holders).isZero());
    }

    @Test
    @Tag("S07")
    void aDeviceThatIsOpenedAfterwardsSeesTheMachine() throws IommufdException {
        assertThat(coherent.openDevice()).as("too early").isNull();
        device.add(coherent, failures);
        assertThat(coherent.openDevice()).isSameAs(machine);
        assertThat(coherent.calls).containsExactly("open", "hold", "machine", "open");
        device.delete(coherent);
        assertThat(coherent.openDevice()).isNull();
        assertThat(coherent.calls).endsWith("no machine", "drop", "open");
    }

    @Test
    @Tag("S07")
    void theEndOfThePseudoDeviceTakesTheMachineFromAllFiles() throws IommufdException {
        device.add(coherent, failures);
        device.add(noncoherent, failures);
        device.close();
        for (Group group : List.of(coherent, noncoherent)) {
            assertThat(group.machine).isNull();
            assertThat(group.holders).isZero();
        }
        assertThat(machine.assigned()).isZero();
        assertThat(flips).containsExactly(true, false);
    }

    @Test
    @Tag("S08")
    void aFileThatIsTheMachinesOutlivesItsDescriptor() {
        assertThat(set(KvmVfio.FILE_ADD, 3)).isZero();
        coherent.release();
        assertThat(coherent.exists()).isTrue();
        device.close();
        assertThat(coherent.exists()).isFalse();
    }

    @Test
    @Tag("S08")
    void withoutVfioAFileIsRefusedAndVfioThatComesLaterIsFound() throws IommufdException {
        vfio = null;
        assertThat(refusal(() -> device.add(coherent, failures))).isEqualTo(Errno.EINVAL);
        assertThat(coherent.calls).isEmpty();
        vfio = new FakeVfio();
        device.add(coherent, failures);
        vfio = null;
        device.delete(coherent);
        assertThat(coherent.holders).as("who is here is let go without it").isZero();

        try (KvmVfioDevice alone = new KvmVm().createVfioDevice(failures)) {
            assertThat(refusal(() -> alone.add(new FakeVfio.Plain("any"), failures)))
                    .isEqualTo(Errno.EINVAL);
        }
    }

    @Test
    @Tag("S05")
    void anAdditionThatFailsHasChangedNothing() {
        caller.failures().arm(1);
        assertThat(set(KvmVfio.FILE_ADD, 4)).isEqualTo(error(Errno.ENOMEM));
        assertThat(noncoherent.calls).isEmpty();
        assertThat(flips).isEmpty();
        assertThat(device.files()).isZero();
        assertThat(machine.assigned()).isZero();
        long before = caller.failures().passed();
        assertThat(set(KvmVfio.FILE_ADD, 4)).isZero();
        assertThat(caller.failures().passed()).as("its only point").isEqualTo(before + 1);
        assertThat(set(KvmVfio.FILE_DEL, 4)).isZero();
        assertThat(caller.failures().passed()).isEqualTo(before + 1);
    }

    @Test
    @Tag("S05")
    void tablesAreTiedToAGroupOfTheMachineUntilItGoes() {
        caller.served.put(7, new FakeVfio.Plain("table"));
        assertThat(tie(3, 7)).as("not the machine's yet").isEqualTo(error(Errno.ENOENT));
        assertThat(tie(3, 99)).as("the group is looked for first").isEqualTo(error(Errno.ENOENT));
        assertThat(tie(6, 7)).as("another file").isEqualTo(error(Errno.ENOENT));
        assertThat(set(KvmVfio.FILE_ADD, 3)).isZero();
        assertThat(tie(3, 5)).as("no table").isEqualTo(error(Errno.EBADF));
        assertThat(tie(3, 99)).isEqualTo(error(Errno.EBADF));
        assertThat(tie(99, 7)).isEqualTo(error(Errno.EBADF));
        assertThat(tied).isEmpty();
        assertThat(tie(3, 7)).isZero();
        assertThat(tied).containsExactly("table to coherent");
        assertThat(set(KvmVfio.FILE_DEL, 3)).isZero();
        assertThat(tied).isEmpty();
    }

    private int tie(int group, int table) {
        caller.bytes.set(JAVA_INT, 16 + KvmVfio.SPAPR_TCE_GROUPFD, group);
        caller.bytes.set(JAVA_INT, 16 + KvmVfio.SPAPR_TCE_TABLEFD, table);
        return device.setAttribute(caller, KvmVfio.GROUP_FILE, KvmVfio.GROUP_SET_SPAPR_TCE, 16);
    }
}
