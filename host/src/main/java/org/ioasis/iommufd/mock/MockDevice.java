// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.mock;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_DIRTY_TRACKING;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_NEST_PARENT;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_PASID;
import static org.ioasis.spec.Iommufd.HW_INFO_TYPE_DEFAULT;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.HwDevice;
import org.ioasis.iommufd.HwDomain;
import org.ioasis.iommufd.HwGroup;
import org.ioasis.iommufd.HwInfo;
import org.ioasis.iommufd.HwPagingDomain;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.NestedDomain;
import org.ioasis.iommufd.TableDomain;
import org.ioasis.iommufd.UserData;
import org.ioasis.iommufd.Vdevice;
import org.ioasis.iommufd.Viommu;
import org.ioasis.iommufd.ViommuDriver;
import org.ioasis.spec.IommufdTest;
import org.jspecify.annotations.Nullable;

/** A device that remembers what was done to it. Under the lock of its context. */
final class MockDevice implements HwDevice {
    private final MockDriver driver;
    private final IommufdNode node;
    private final int flags;
    private final HwGroup group = new HwGroup();
    private final int[] cache = new int[IommufdTest.DEV_CACHE_NUM];
    private final Map<Integer, HwDomain> attached = new HashMap<>();
    private @Nullable Vdevice vdevice;
    private boolean failsNext;
    private int responses;

    MockDevice(MockDriver driver, IommufdNode node, int flags) {
        this.driver = driver;
        this.node = node;
        this.flags = flags;
        Arrays.fill(cache, IommufdTest.DEV_CACHE_DEFAULT);
    }

    int[] cache() {
        return cache;
    }

    /** What it is attached to, without PASID or with one. */
    @Nullable HwDomain attached(int pasid) {
        return attached.get(pasid);
    }

    /** What it is attached by: PASIDs, NO_PASID among them. */
    List<Integer> pasids() {
        return List.copyOf(attached.keySet());
    }

    /** A guest has a name for it, or none any more. */
    void named(@Nullable Vdevice name) {
        vdevice = name;
    }

    /** The name by which events of it reach a guest: it is attached to a table of that guest's. */
    @Nullable Vdevice eventName() {
        return attached.get(NO_PASID) instanceof MockNested nested && nested.viommu() != null
                ? vdevice
                : null;
    }

    /** Answers to page requests so far. */
    int responses() {
        return responses;
    }

    @Override
    public HwGroup group() {
        return group;
    }

    @Override
    public boolean endsWithContext() {
        return true;
    }

    @Override
    public Object iommu() {
        return driver;
    }

    @Override
    public boolean isCoherent() {
        return true;
    }

    @Override
    public boolean enforcesCoherency() {
        return false;
    }

    @Override
    public boolean tracksDirty() {
        return (flags & IommufdTest.DEVICE_NO_DIRTY) == 0;
    }

    @Override
    public int pasidBits() {
        return (flags & IommufdTest.DEVICE_PASID) == 0 ? 0 : IommufdTest.PASID_WIDTH;
    }

    @Override
    public void attach(HwDomain domain, int pasid) throws IommufdException {
        if (domain instanceof HwPagingDomain table && table.tracksDirty() && !tracksDirty()) {
            throw new IommufdException(
                    Errno.EINVAL, "the table tells what is written, and the device cannot");
        }
        if (domain instanceof MockNested nested
                && nested.viommu() != null
                && (vdevice == null || vdevice.viommu().driver() != nested.viommu())) {
            throw new IommufdException(Errno.ENOENT, "the guest has no name for the device");
        }
        if (pasid == IommufdTest.PASID_RESERVED) {
            failsNext = !failsNext;
            if (!failsNext) {
                throw new IommufdException(Errno.ENOMEM, "this PASID fails every second time");
            }
        }
        attached.put(pasid, domain);
    }

    @Override
    public void block(int pasid) {
        attached.remove(pasid);
        if (pasid == IommufdTest.PASID_RESERVED) {
            failsNext = false;
        }
    }

    @Override
    public HwPagingDomain paging(int wanted, @Nullable UserData data) throws IommufdException {
        if ((wanted & ~(HWPT_ALLOC_NEST_PARENT | HWPT_ALLOC_DIRTY_TRACKING | HWPT_ALLOC_PASID))
                != 0) {
            throw new IommufdException(Errno.EOPNOTSUPP, "unknown flag of a page table");
        }
        int kind = IommufdTest.IOMMUPT_DEFAULT;
        if (data != null) {
            MemorySegment given =
                    data.read(
                            IommufdTest.HWPT_DATA_SELFTEST,
                            IommufdTest.HWPT_SELFTEST_SIZE,
                            IommufdTest.HWPT_SELFTEST_SIZE);
            kind = given.get(JAVA_INT, IommufdTest.HWPT_SELFTEST_PAGETABLE_TYPE);
        }
        if (kind != IommufdTest.IOMMUPT_DEFAULT && kind != IommufdTest.IOMMUPT_HUGE) {
            throw new IommufdException(Errno.EOPNOTSUPP, "no page table of kind " + kind);
        }
        return new TableDomain(
                Amdv1Format.mock(),
                kind == IommufdTest.IOMMUPT_HUGE
                        ? IommufdTest.PAGE_SIZE | IommufdTest.HUGE_PAGE_SIZE
                        : -IommufdTest.PAGE_SIZE,
                IommufdTest.APERTURE_START,
                IommufdTest.APERTURE_LAST,
                (wanted & HWPT_ALLOC_DIRTY_TRACKING) != 0,
                node);
    }

    @Override
    public NestedDomain nested(HwPagingDomain parent, int wanted, UserData data)
            throws IommufdException {
        return new MockNested(data, null);
    }

    @Override
    public HwInfo info(int type) throws IommufdException {
        if (type != HW_INFO_TYPE_DEFAULT && type != IommufdTest.HW_INFO_TYPE_SELFTEST) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "no information of type 0x%x".formatted(type));
        }
        byte[] data = new byte[IommufdTest.HW_INFO_SIZE];
        ByteBuffer.wrap(data)
                .order(ByteOrder.nativeOrder())
                .putInt(IommufdTest.HW_INFO_TEST_REG, IommufdTest.HW_INFO_SELFTEST_REGVAL);
        return new HwInfo(IommufdTest.HW_INFO_TYPE_SELFTEST, data);
    }

    @Override
    public ViommuDriver viommu(
            Viommu viommu, int type, HwPagingDomain parent, @Nullable UserData data)
            throws IommufdException {
        return new MockViommu(viommu, data);
    }

    @Override
    public boolean hasViommu(int type) {
        return type == IommufdTest.VIOMMU_TYPE_SELFTEST;
    }

    @Override
    public void respond(int pasid, int number, int code) {
        responses++;
    }
}
