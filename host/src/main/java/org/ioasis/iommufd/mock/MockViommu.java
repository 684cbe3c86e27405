// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.mock;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_PASID;

import java.lang.foreign.MemorySegment;
import org.ioasis.iommufd.Entries;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.Handled;
import org.ioasis.iommufd.HwQueue;
import org.ioasis.iommufd.InvalidationRefusal;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.NestedDomain;
import org.ioasis.iommufd.UserData;
import org.ioasis.iommufd.Vdevice;
import org.ioasis.iommufd.Viommu;
import org.ioasis.iommufd.ViommuDriver;
import org.ioasis.spec.IommufdTest;
import org.jspecify.annotations.Nullable;

/**
 * A vIOMMU that says back what it was told, shows it in memory that a program maps, and has two
 * queues that are started in order. Under its context's lock.
 */
final class MockViommu implements ViommuDriver {
    private static final long WINDOW = 8192;

    private final Viommu viommu;
    private final Entries entries = new DeviceEntries();
    private final @Nullable HwQueue[] queues = new @Nullable HwQueue[IommufdTest.HW_QUEUE_MAX];
    private long window;

    MockViommu(Viommu viommu, @Nullable UserData data) throws IommufdException {
        this.viommu = viommu;
        if (data != null) {
            answer(data);
        }
    }

    private void answer(UserData data) throws IommufdException {
        MemorySegment given =
                data.read(
                        IommufdTest.VIOMMU_TYPE_SELFTEST,
                        IommufdTest.VIOMMU_MIN,
                        IommufdTest.VIOMMU_SIZE);
        int told = given.get(JAVA_INT, IommufdTest.VIOMMU_IN_DATA);
        window = viommu.openWindow(WINDOW);
        MemorySegment shown = data.window(viommu.file(), window, WINDOW);
        if (shown == null) {
            free();
            throw new IommufdException(Errno.ENOMEM, "no window for the program is left");
        }
        shown.set(JAVA_INT, 0, told);
        given.set(JAVA_INT, IommufdTest.VIOMMU_OUT_DATA, told);
        given.set(JAVA_LONG, IommufdTest.VIOMMU_OUT_MMAP_OFFSET, window);
        given.set(JAVA_LONG, IommufdTest.VIOMMU_OUT_MMAP_LENGTH, WINDOW);
        try {
            data.write(given);
        } catch (IommufdException e) {
            free();
            throw e;
        }
    }

    @Override
    public NestedDomain nested(int flags, UserData data) throws IommufdException {
        if ((flags & ~HWPT_ALLOC_PASID) != 0) {
            throw new IommufdException(Errno.EOPNOTSUPP, "unknown flag of a guest's table");
        }
        return new MockNested(data, this);
    }

    @Override
    public long invalidate(int type, MemorySegment array, long offset, int entryLength, int count) {
        if (type != IommufdTest.VIOMMU_INVALIDATE_DATA_SELFTEST
                || (count != 0 && entryLength != IommufdTest.VIOMMU_INVALIDATE_SIZE)) {
            return Handled.refused(0, InvalidationRefusal.TYPE);
        }
        return entries.run(array, offset, entryLength, count);
    }

    private final class DeviceEntries extends Entries {
        DeviceEntries() {
            super(IommufdTest.VIOMMU_INVALIDATE_SIZE);
        }

        @Override
        protected @Nullable InvalidationRefusal entry(MemorySegment array, long offset) {
            int flags = array.get(JAVA_INT_UNALIGNED, offset + IommufdTest.VIOMMU_INVALIDATE_FLAGS);
            int name =
                    array.get(JAVA_INT_UNALIGNED, offset + IommufdTest.VIOMMU_INVALIDATE_VDEV_ID);
            int cache =
                    array.get(JAVA_INT_UNALIGNED, offset + IommufdTest.VIOMMU_INVALIDATE_CACHE_ID);
            InvalidationRefusal refusal = MockNested.check(flags, cache, IommufdTest.DEV_CACHE_NUM);
            if (refusal != null) {
                return refusal;
            }
            Vdevice vdevice = viommu.device(Integer.toUnsignedLong(name));
            return vdevice != null && vdevice.device().hardware() instanceof MockDevice device
                    ? MockNested.forget(device.cache(), flags, cache)
                    : InvalidationRefusal.NO_DEVICE;
        }
    }

    @Override
    public boolean hasQueue(int type) {
        return type == IommufdTest.HW_QUEUE_TYPE_SELFTEST;
    }

    @Override
    public void startQueue(HwQueue queue, int index, long physical) throws IommufdException {
        if (Integer.compareUnsigned(index, queues.length) >= 0) {
            throw new IommufdException(Errno.EINVAL, "there is no queue " + index);
        }
        if (queues[index] != null) {
            throw new IommufdException(Errno.EEXIST, "queue %d is started".formatted(index));
        }
        if (index > 0) {
            HwQueue before = queues[index - 1];
            if (before == null) {
                throw new IommufdException(Errno.EIO, "queues are started in order");
            }
            before.depend();
        }
        queues[index] = queue;
    }

    @Override
    public void stopQueue(HwQueue queue) {
        for (int i = 0; i < queues.length; i++) {
            if (queues[i] == queue) {
                queues[i] = null;
                HwQueue before = i > 0 ? queues[i - 1] : null;
                if (before != null) {
                    before.undepend();
                }
            }
        }
    }

    @Override
    public void added(Vdevice vdevice) {
        if (vdevice.device().hardware() instanceof MockDevice device) {
            device.named(vdevice);
        }
    }

    @Override
    public void removed(Vdevice vdevice) {
        if (vdevice.device().hardware() instanceof MockDevice device) {
            device.named(null);
        }
    }

    @Override
    public void free() {
        if (window != 0) {
            viommu.closeWindow(window);
            window = 0;
        }
    }
}
