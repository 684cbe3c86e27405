// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.jspecify.annotations.Nullable;

/** A device that makes page requests and keeps every answer. Under the lock of its context. */
final class AskingDevice implements HwDevice {
    record Answer(int pasid, int group, int code) {}

    final List<Answer> answers = new ArrayList<>();
    Consumer<Answer> told = _ -> {};

    /** What its vIOMMU does with entries. */
    Invalidator invalidator =
            (_, _, _, _, _) -> Handled.refused(0, InvalidationRefusal.UNSUPPORTED);

    private final HwGroup group = new HwGroup();
    private final IommufdNode node;

    AskingDevice(IommufdNode node) {
        this.node = node;
    }

    @Override
    public void respond(int pasid, int number, int code) {
        Answer answer = new Answer(pasid, number, code);
        answers.add(answer);
        told.accept(answer);
    }

    @Override
    public HwGroup group() {
        return group;
    }

    @Override
    public Object iommu() {
        return node;
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
    public int pasidBits() {
        return 20;
    }

    @Override
    public void attach(HwDomain domain, int pasid) {}

    @Override
    public void block(int pasid) {}

    @Override
    public HwPagingDomain paging(int flags, @Nullable UserData data) throws IommufdException {
        return new TableDomain(Amdv1Format.mock(), -2048, 0, -1L, false, node);
    }

    @Override
    public NestedDomain nested(HwPagingDomain parent, int flags, UserData data) {
        return new NestedDomain() {};
    }

    @Override
    public boolean hasViommu(int type) {
        return type == 1;
    }

    @Override
    public ViommuDriver viommu(
            Viommu viommu, int type, HwPagingDomain parent, @Nullable UserData data) {
        return new ViommuDriver() {
            @Override
            public NestedDomain nested(int flags, UserData given) {
                return AskingDevice.this.nested(parent, flags, given);
            }

            @Override
            public long invalidate(
                    int entries, MemorySegment array, long offset, int entryLength, int count) {
                return invalidator.invalidate(entries, array, offset, entryLength, count);
            }
        };
    }
}
