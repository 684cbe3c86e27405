// SPDX-License-Identifier: Apache-2.0
package org.ioasis.amd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.Refusals.refuses;
import static org.ioasis.iommufd.HwDevice.NO_PASID;
import static org.ioasis.iommufd.nesting.Recorder.words;
import static org.ioasis.spec.AmdCommand.*;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_PASID;
import static org.ioasis.spec.IommufdNesting.*;

import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.Handled;
import org.ioasis.iommufd.InvalidationRefusal;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.NestedDomain;
import org.ioasis.iommufd.NestedHwpt;
import org.ioasis.iommufd.UserData;
import org.ioasis.iommufd.Viommu;
import org.ioasis.iommufd.engine.NestedMachine;
import org.ioasis.memory.Dma;
import org.ioasis.spec.AmdFeatures;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Guests' tables of an AMD IOMMU, which Linux has the parts for and no way to. */
class AmdNestedTest {
    private static final long ADDRESS = 0x12_3456_7000L;
    private static final long ALL = 0x7fff_ffff_ffff_f000L | SIZE_BIT | GUEST;
    private static final int DOMAIN = 0x4321;
    private static final long V = 1;
    private static final long GV = 1L << 55;
    private static final long GIOV = 1L << 54;

    private final NestedMachine machine =
            new NestedMachine(AmdIommu.maker(AmdFeatures.GT | AmdFeatures.PPR));
    private final Viommu viommu = machine.parent.allocateViommu(machine.device, VIOMMU_AMD, null);
    private final long gcr3 = machine.allocate();
    private final long root = machine.allocate();

    AmdNestedTest() throws IommufdException {
        machine.set(gcr3, root | 1);
    }

    @AfterEach
    void end() {
        machine.close();
    }

    private static long word0(long flags, long table) {
        return V | flags | (table >>> 12 & 7) << 58;
    }

    private static long word1(int domain, long table) {
        return domain | (table >>> 15 & 0xffff) << 16 | (table >>> 31 & 0x1f_ffff) << 43;
    }

    private NestedHwpt table(long word0, long word1, long word2) throws IommufdException {
        return viommu.allocateNested(
                machine.device,
                0,
                UserData.of(HWPT_DATA_AMD_GUEST, words(word0, word1, word2, 0)),
                null);
    }

    private NestedHwpt table(int domain) throws IommufdException {
        return table(word0(GV | GIOV, gcr3), word1(domain, gcr3), 0);
    }

    private long page(long word) {
        long page = machine.allocate();
        machine.set(page, word);
        return page;
    }

    private void run(long word0, long word1) {
        assertThat(viommu.invalidate(INVALIDATE_AMD, words(word0, word1), 0, 16, 1))
                .isEqualTo(Handled.all(1));
    }

    private static long pages(int domain, int pasid) {
        return (long) INV_PAGES << 60 | (long) domain << 32 | pasid;
    }

    @Test
    @Tag("S28")
    void anEntryOfAGuestsIsRefusedByItsRules() throws IommufdException {
        refuses(Errno.EINVAL, () -> table(V | 1 << 9, DOMAIN, 0));
        refuses(Errno.EINVAL, () -> table(V | 0x1000, DOMAIN, 0));
        refuses(Errno.EINVAL, () -> table(V | GV, DOMAIN, 0));
        refuses(Errno.EINVAL, () -> table(word0(GV, gcr3) | 3L << 56, word1(DOMAIN, gcr3), 0));
        refuses(Errno.EOPNOTSUPP, () -> table(word0(GV, gcr3), word1(DOMAIN, gcr3), 1L << 54));
        refuses(Errno.EINVAL, () -> table(word0(GV, gcr3), word1(DOMAIN, gcr3), 2L << 54));
        UserData data = UserData.of(HWPT_DATA_AMD_GUEST, words(V, 0, 0, 0));
        refuses(
                Errno.EOPNOTSUPP,
                () -> viommu.allocateNested(machine.device, HWPT_ALLOC_PASID, data, null));
        refuses(
                Errno.EOPNOTSUPP,
                () -> machine.parent.allocateNested(machine.device, 0, data, null));
        refuses(
                Errno.EOPNOTSUPP,
                () -> machine.parent.allocateViommu(machine.device, VIOMMU_SMMUV3, null));
        assertThat(table(0, 0, 0)).as("not valid").isNotNull();
    }

    @Test
    @Tag("S28")
    void whatHasTablesOfAllPasidsIsAttachedToNoneAndBesideNone() throws IommufdException {
        // Of the driver, without what the object model refuses before.
        NestedDomain whole =
                viommu.driver()
                        .nested(
                                0,
                                UserData.of(
                                        HWPT_DATA_AMD_GUEST,
                                        words(word0(GV, gcr3), word1(DOMAIN, gcr3), 0, 0)));
        refuses(Errno.EOPNOTSUPP, () -> machine.hardware.attach(whole, 4));
        machine.device.attach(machine.parent.id(), 4);
        refuses(Errno.EBUSY, () -> machine.hardware.attach(whole, NO_PASID));
        machine.device.detach(4);
        whole.free();
    }

    @Test
    @Tag("S28")
    void aDeviceGoesThroughTheTableOfItsPasidAndWithoutOneThroughThatOfTheFirst()
            throws IommufdException {
        long other = machine.allocate();
        machine.map(root, ADDRESS, page(1) | 7, 7);
        machine.map(other, ADDRESS, page(2) | 7, 7);
        machine.set(gcr3 + 8 * 4, other | 1);
        machine.device.attach(table(DOMAIN).id(), NO_PASID);
        assertThat(machine.read(machine.dma(NO_PASID), ADDRESS)).isEqualTo(1);
        assertThat(machine.read(machine.dma(4), ADDRESS)).isEqualTo(2);
        assertThat(machine.read(machine.dma(5), ADDRESS)).isEqualTo(-1);
        long plain = page(3);
        machine.device.replace(table(word0(GV, gcr3), word1(DOMAIN, gcr3), 0).id(), NO_PASID);
        assertThat(machine.read(machine.dma(NO_PASID), plain))
                .as("without GIOV memory as it is")
                .isEqualTo(3);
        assertThat(machine.read(machine.dma(4), ADDRESS)).isEqualTo(2);
    }

    @Test
    @Tag("S29")
    void whatIsKeptGoesByTheGuestsDomainAndPasid() throws IommufdException {
        machine.device.attach(table(DOMAIN).id(), NO_PASID);
        Dma dma = machine.dma(NO_PASID);
        machine.map(root, ADDRESS, page(0) | 7, 7);
        assertThat(machine.read(dma, ADDRESS)).isZero();
        machine.map(root, ADDRESS, page(1) | 7, 7);
        run(pages(DOMAIN + 1, 0), ALL);
        run(pages(DOMAIN, 1), ALL);
        run(pages(DOMAIN, 0), ADDRESS + 0x1000 | GUEST);
        assertThat(machine.read(dma, ADDRESS)).as("kept").isZero();
        run(pages(DOMAIN, 0), ADDRESS | GUEST);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(1);
        machine.map(root, ADDRESS, page(2) | 7, 7);
        run((long) INV_ALL << 60, 0);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(2);
    }

    @Test
    @Tag("S29")
    void whatIsTakenAwayIsOutOfUseWhenItIsAnswered() throws IommufdException {
        machine.device.attach(table(DOMAIN).id(), NO_PASID);
        assertThat(machine.waitsForAccess(() -> run(pages(DOMAIN, 0), ADDRESS | GUEST))).isTrue();
    }

    @Test
    @Tag("S28")
    void thePasidsTableIsAnotherWhenTheGuestTakesAllOfItAway() throws IommufdException {
        long other = machine.allocate();
        machine.map(root, ADDRESS, page(1) | 7, 7);
        machine.map(other, ADDRESS, page(2) | 7, 7);
        machine.device.attach(table(DOMAIN).id(), NO_PASID);
        Dma dma = machine.dma(4);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(-1);
        machine.set(gcr3 + 8 * 4, other | 1);
        run(pages(DOMAIN, 4), ALL);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(2);
        machine.set(gcr3 + 8 * 4, root | 1);
        run(pages(DOMAIN, 4), ALL);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(1);
        machine.set(gcr3 + 8 * 4, 0);
        run(pages(DOMAIN, 4), ALL);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(-1);
    }

    @Test
    @Tag("S29")
    void q7ADomainHasANumberOfTheHostsAsLongAsATableHasIt() throws IommufdException {
        NestedHwpt first = table(DOMAIN);
        NestedHwpt second = table(DOMAIN);
        machine.context.destroy(first.id());
        machine.context.destroy(second.id());
        long handled =
                viommu.invalidate(INVALIDATE_AMD, words(pages(DOMAIN, 0), ALL, 0, 0), 0, 16, 2);
        assertThat(Handled.done(handled)).isEqualTo(1);
        assertThat(Handled.refusal(handled)).isEqualTo(InvalidationRefusal.COMMAND);
    }
}
