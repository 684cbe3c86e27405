// SPDX-License-Identifier: Apache-2.0
package org.ioasis.smmuv3;

import static org.ioasis.spec.IommufdNesting.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.HwQueue;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.UserData;
import org.ioasis.iommufd.Vdevice;
import org.ioasis.iommufd.Veventq;
import org.ioasis.iommufd.Viommu;
import org.ioasis.iommufd.engine.EngineDomain;
import org.ioasis.spec.Smmuv3Command;
import org.ioasis.spec.Tegra241;
import org.jspecify.annotations.Nullable;

/**
 * The slice of an SMMUv3 with queues that the guest fills itself: a page of registers that its VMM
 * maps into the guest, and memory of the guest that stays where it is. What is in a queue is
 * carried out by {@link #poll}. Under its context's lock.
 */
final class Tegra241Viommu extends Smmuv3Viommu {
    static final int QUEUES = 1 << Smmuv3Iommu.QUEUES_LG2;

    /** Most commands of one queue in a row: a guest that adds all the time is not waited for. */
    static final int IN_A_ROW = 4096;

    private final @Nullable HwQueue[] queues = new @Nullable HwQueue[QUEUES];
    private final @Nullable DirectQueue[] running = new @Nullable DirectQueue[QUEUES];
    private final MemorySegment registers;
    private final long window;

    private Tegra241Viommu(
            Smmuv3Iommu smmu,
            Viommu viommu,
            EngineDomain parent,
            MemorySegment registers,
            long window)
            throws IommufdException {
        super(smmu, viommu, parent);
        this.registers = registers;
        this.window = window;
    }

    static Tegra241Viommu make(
            Smmuv3Iommu smmu, Viommu viommu, EngineDomain parent, @Nullable UserData data)
            throws IommufdException {
        if (data == null) {
            throw new IommufdException(Errno.EINVAL, "nobody could be told where registers are");
        }
        MemorySegment told = data.read(VIOMMU_TEGRA241, TEGRA241_SIZE, TEGRA241_SIZE);
        long window = viommu.openWindow(Tegra241.PAGE_SIZE);
        boolean isMade = false;
        try {
            MemorySegment shown = data.window(viommu.file(), window, Tegra241.PAGE_SIZE);
            if (shown == null) {
                throw new IommufdException(Errno.ENOMEM, "no window for the program is left");
            }
            told.set(ValueLayout.JAVA_LONG, TEGRA241_MMAP_OFFSET, window);
            told.set(ValueLayout.JAVA_LONG, TEGRA241_MMAP_LENGTH, Tegra241.PAGE_SIZE);
            data.write(told);
            Tegra241Viommu made = new Tegra241Viommu(smmu, viommu, parent, shown, window);
            isMade = true;
            return made;
        } finally {
            if (!isMade) {
                viommu.closeWindow(window);
            }
        }
    }

    @Override
    public MemorySegment window() {
        return registers;
    }

    @Override
    public void added(Vdevice vdevice) throws IommufdException {
        if (vdevice.virtualId() >>> Smmuv3Iommu.STREAMS_LG2 != 0) {
            throw new IommufdException(
                    Errno.EINVAL, "a queue knows no stream 0x%x".formatted(vdevice.virtualId()));
        }
        super.added(vdevice);
    }

    @Override
    public boolean hasQueue(int type) {
        return type == HW_QUEUE_TEGRA241;
    }

    @Override
    public void startQueue(HwQueue queue, int index, long physical) throws IommufdException {
        long length = queue.length();
        if (Integer.compareUnsigned(index, QUEUES) >= 0) {
            throw new IommufdException(Errno.EINVAL, "there is no queue " + index);
        }
        if (queues[index] != null) {
            throw new IommufdException(Errno.EEXIST, "queue %d is started".formatted(index));
        }
        if (Long.bitCount(length) != 1
                || length < 2L * Smmuv3Command.SIZE
                || length > (long) Smmuv3Command.SIZE << DirectQueue.ENTRIES_LG2_MAX
                || (physical & (length - 1)) != 0) {
            throw new IommufdException(
                    Errno.EINVAL,
                    "no queue is 0x%x bytes long at 0x%x".formatted(length, physical));
        }
        HwQueue before = index == 0 ? null : queues[index - 1];
        if (index > 0 && before == null) {
            throw new IommufdException(Errno.EIO, "queues are started in order");
        }
        MemorySegment entries = iommu().bytes(physical, length);
        if (entries == null) {
            throw new IommufdException(Errno.EFAULT, "the queue's memory is reached by calls only");
        }
        if (before != null) {
            before.depend();
        }
        queues[index] = queue;
        running[index] =
                new DirectQueue(
                        registers.asSlice(index * Tegra241.QUEUE_STRIDE, Tegra241.QUEUE_STRIDE),
                        entries,
                        commands(),
                        iommu()::settle);
    }

    @Override
    public void stopQueue(HwQueue queue) {
        for (int i = 0; i < QUEUES; i++) {
            if (queues[i] == queue) {
                queues[i] = null;
                running[i] = null;
                HwQueue before = i > 0 ? queues[i - 1] : null;
                if (before != null) {
                    before.undepend();
                }
            }
        }
    }

    @Override
    public int poll() {
        int done = 0;
        long failed = 0;
        for (int i = 0; i < QUEUES; i++) {
            DirectQueue queue = running[i];
            if (queue != null) {
                done += queue.poll(IN_A_ROW);
                failed |= queue.takeFailure() ? 1L << i : 0;
            }
        }
        if (failed != 0) {
            Veventq events = viommu().events(VEVENTQ_TEGRA241);
            if (events != null) {
                events.report(
                        ByteBuffer.allocate(Tegra241.EVENT_SIZE)
                                .order(ByteOrder.LITTLE_ENDIAN)
                                .putLong(failed)
                                .array());
            }
        }
        return done;
    }

    @Override
    public void free() {
        viommu().closeWindow(window);
        super.free();
    }
}
