// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VfioType1.*;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.ProgramStub;
import org.jspecify.annotations.Nullable;

/** A program with a container and groups, as its calls see them. One thread. */
final class ContainerFixture {
    static final long PAGE = 4096;
    static final long IOVA = 1L << 20;
    static final int RW = MAP_FLAG_READ | MAP_FLAG_WRITE;

    final IommufdNode node = IommufdNode.builder().build();
    final ProgramStub program;
    final VfioContainer container;
    final long memory;
    private final List<VfioGroup> groups = new ArrayList<>();

    ContainerFixture() {
        this(-1, 8);
    }

    /**
     * @param limitPages of locked memory; negative: none
     */
    ContainerFixture(long limitPages, int mappingsMax) {
        program = new ProgramStub(limitPages);
        container = new VfioContainer(List.of(new Type1Kind(node, mappingsMax)));
        // Every second page of a file: no two lie side by side.
        memory = program.mmapScattered(new ProgramStub.Memory(128 * PAGE), 64);
    }

    VfioGroup add(VfioGroup group) throws IommufdException {
        group.setContainer(container);
        groups.add(group);
        return group;
    }

    void remove(VfioGroup group) throws IommufdException {
        group.unsetContainer();
        groups.remove(group);
    }

    FakeDevice device(Object iommu, boolean enforcesCoherency) throws IommufdException {
        FakeDevice device = new FakeDevice(node, iommu, enforcesCoherency);
        add(VfioGroup.of(groups.size(), List.of(device)));
        return device;
    }

    Type1 type1() {
        if (container.driver() instanceof Type1 type1) {
            return type1;
        }
        throw new AssertionError("no IOMMU is set");
    }

    MediatedDevice open(VfioGroup group, MediatedDevice.@Nullable User user)
            throws IommufdException {
        return type1().open(group, user);
    }

    long set(int type) {
        return container.ioctl(program, SET_IOMMU, type);
    }

    long map(long address, long iova, long length, int flags) {
        return program.struct(MAP_LENGTH)
                .with(MAP_FLAGS, flags)
                .with(MAP_VADDR, address)
                .with(MAP_IOVA, iova)
                .with(MAP_SIZE, length)
                .call(container, IOMMU_MAP_DMA & 0xff);
    }

    /** Bytes unmapped, or a negative errno. */
    long unmap(long iova, long length, int flags) {
        ProgramStub.Struct struct =
                program.struct(UNMAP_LENGTH)
                        .with(UNMAP_FLAGS, flags)
                        .with(UNMAP_IOVA, iova)
                        .with(UNMAP_SIZE, length);
        long result = struct.call(container, IOMMU_UNMAP_DMA & 0xff);
        return result < 0 ? result : struct.getLong(UNMAP_SIZE);
    }

    long dirtyPages(int flags) {
        return program.struct(DIRTY_MIN)
                .with(DIRTY_FLAGS, flags)
                .call(container, IOMMU_DIRTY_PAGES & 0xff);
    }

    long getBitmap(long iova, long length, long bitmap, long bytes) {
        return program.struct(DIRTY_LENGTH)
                .with(DIRTY_FLAGS, DIRTY_FLAG_GET_BITMAP)
                .with(DIRTY_RANGE_IOVA, iova)
                .with(DIRTY_RANGE_SIZE, length)
                .with(DIRTY_RANGE_BITMAP + BITMAP_PGSIZE, PAGE)
                .with(DIRTY_RANGE_BITMAP + BITMAP_SIZE, bytes)
                .with(DIRTY_RANGE_BITMAP + BITMAP_DATA, bitmap)
                .call(container, IOMMU_DIRTY_PAGES & 0xff);
    }

    long charged() {
        return program.locked().locked();
    }

    static long refusal(Errno errno) {
        return -errno.number();
    }

    /** All groups go, and nothing is left. */
    void end() throws IommufdException {
        for (VfioGroup group : List.copyOf(groups)) {
            remove(group);
        }
        container.release();
        assertThat(node.heldPages()).as("held").isZero();
        assertThat(charged()).as("charged").isZero();
        assertThat(node.openContexts()).as("contexts").isZero();
        assertThat(node.tables().held()).as("page tables").isZero();
    }
}
