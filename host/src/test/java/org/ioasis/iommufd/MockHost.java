// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.assertj.core.api.Assertions.assertThat;

import org.ioasis.iommufd.mock.MockDriver;
import org.ioasis.spec.Iommufd;
import org.ioasis.spec.IommufdTest;

/** A program on an open {@code /dev/iommu} with the mock, and its calls by name. One thread. */
final class MockHost {
    static final int READ_WRITE = Iommufd.MAP_READABLE | Iommufd.MAP_WRITEABLE;
    static final int TEST = 0xa0;
    static final long PAGE = ProgramStub.PAGE;
    static final long APERTURE = IommufdTest.APERTURE_START;

    record Bound(int stdev, int hwpt, int device) {}

    final ProgramStub program;
    final IommufdNode node;
    final OpenFile file;

    MockHost() {
        this(IommufdNode.builder().commands(new MockDriver()).build());
    }

    MockHost(IommufdNode node) {
        this(node, new ProgramStub());
    }

    /** The program opens the node once more. */
    MockHost(IommufdNode node, ProgramStub program) {
        this.node = node;
        this.program = program;
        file = open();
    }

    OpenFile open() {
        try {
            return node.open(program);
        } catch (IommufdException e) {
            throw new AssertionError(e);
        }
    }

    /** The object itself. */
    <T extends IommufdObject> T find(int id, Class<T> kind) {
        try {
            return ((IommufdContext) file).find(id, kind);
        } catch (IommufdException e) {
            throw new AssertionError(e);
        }
    }

    static long error(Errno errno) {
        return -errno.number();
    }

    private static int ok(long result, String rule) {
        assertThat(result).as(rule).isZero();
        return 0;
    }

    int ioas() {
        ProgramStub.Struct struct = program.struct(Iommufd.IOAS_ALLOC_SIZE);
        ok(struct.call(file, Iommufd.CMD_IOAS_ALLOC), program.rule);
        return struct.getInt(Iommufd.IOAS_ALLOC_OUT_IOAS_ID);
    }

    long destroy(int id) {
        return program.struct(Iommufd.DESTROY_SIZE)
                .with(Iommufd.DESTROY_ID, id)
                .call(file, Iommufd.CMD_DESTROY);
    }

    /** The IOVA, or the negative errno. */
    long map(int ioas, long address, long length) {
        ProgramStub.Struct struct =
                program.struct(Iommufd.MAP_SIZE)
                        .with(Iommufd.MAP_FLAGS, READ_WRITE)
                        .with(Iommufd.MAP_IOAS_ID, ioas)
                        .with(Iommufd.MAP_USER_VA, address)
                        .with(Iommufd.MAP_LENGTH, length);
        long result = struct.call(file, Iommufd.CMD_IOAS_MAP);
        return result == 0 ? struct.getLong(Iommufd.MAP_IOVA) : result;
    }

    long mapFixed(int ioas, long address, long length, long iova) {
        return mapFixed(ioas, address, length, iova, READ_WRITE);
    }

    long mapFixed(int ioas, long address, long length, long iova, int flags) {
        return program.struct(Iommufd.MAP_SIZE)
                .with(Iommufd.MAP_FLAGS, flags | Iommufd.MAP_FIXED_IOVA)
                .with(Iommufd.MAP_IOAS_ID, ioas)
                .with(Iommufd.MAP_USER_VA, address)
                .with(Iommufd.MAP_LENGTH, length)
                .with(Iommufd.MAP_IOVA, iova)
                .call(file, Iommufd.CMD_IOAS_MAP);
    }

    long mapFile(int ioas, int descriptor, long start, long length) {
        ProgramStub.Struct struct =
                program.struct(Iommufd.MAP_FILE_SIZE)
                        .with(Iommufd.MAP_FILE_FLAGS, READ_WRITE)
                        .with(Iommufd.MAP_FILE_IOAS_ID, ioas)
                        .with(Iommufd.MAP_FILE_FD, descriptor)
                        .with(Iommufd.MAP_FILE_START, start)
                        .with(Iommufd.MAP_FILE_LENGTH, length);
        long result = struct.call(file, Iommufd.CMD_IOAS_MAP_FILE);
        return result == 0 ? struct.getLong(Iommufd.MAP_FILE_IOVA) : result;
    }

    /** Bytes, or the negative errno. */
    long unmap(int ioas, long iova, long length) {
        ProgramStub.Struct struct =
                program.struct(Iommufd.UNMAP_SIZE)
                        .with(Iommufd.UNMAP_IOAS_ID, ioas)
                        .with(Iommufd.UNMAP_IOVA, iova)
                        .with(Iommufd.UNMAP_LENGTH, length);
        long result = struct.call(file, Iommufd.CMD_IOAS_UNMAP);
        return result == 0 ? struct.getLong(Iommufd.UNMAP_LENGTH) : result;
    }

    long copy(int to, int from, long source, long length, long iova, int flags) {
        return program.struct(Iommufd.COPY_SIZE)
                .with(Iommufd.COPY_FLAGS, flags | Iommufd.MAP_FIXED_IOVA)
                .with(Iommufd.COPY_DST_IOAS_ID, to)
                .with(Iommufd.COPY_SRC_IOAS_ID, from)
                .with(Iommufd.COPY_LENGTH, length)
                .with(Iommufd.COPY_DST_IOVA, iova)
                .with(Iommufd.COPY_SRC_IOVA, source)
                .call(file, Iommufd.CMD_IOAS_COPY);
    }

    ProgramStub.Struct test(int op, int id) {
        return program.struct(IommufdTest.SIZE).with(IommufdTest.OP, op).with(IommufdTest.ID, id);
    }

    long tryMockDomain(int pt, int flags) {
        return test(IommufdTest.OP_MOCK_DOMAIN_FLAGS, pt)
                .with(IommufdTest.MOCK_DOMAIN_DEV_FLAGS, flags)
                .call(file, TEST);
    }

    Bound mockDomain(int pt) {
        return mockDomain(pt, 0);
    }

    Bound mockDomain(int pt, int flags) {
        ProgramStub.Struct struct =
                test(IommufdTest.OP_MOCK_DOMAIN_FLAGS, pt)
                        .with(IommufdTest.MOCK_DOMAIN_DEV_FLAGS, flags);
        ok(struct.call(file, TEST), program.rule);
        return new Bound(
                struct.getInt(IommufdTest.MOCK_DOMAIN_OUT_STDEV_ID),
                struct.getInt(IommufdTest.MOCK_DOMAIN_OUT_HWPT_ID),
                struct.getInt(IommufdTest.MOCK_DOMAIN_OUT_IDEV_ID));
    }

    long replace(int stdev, int pt) {
        return test(IommufdTest.OP_MOCK_DOMAIN_REPLACE, stdev)
                .with(IommufdTest.MOCK_DOMAIN_REPLACE_PT_ID, pt)
                .call(file, TEST);
    }

    long checkMap(int hwpt, long iova, long length, long address) {
        return test(IommufdTest.OP_MD_CHECK_MAP, hwpt)
                .with(IommufdTest.CHECK_MAP_IOVA, iova)
                .with(IommufdTest.CHECK_MAP_LENGTH, length)
                .with(IommufdTest.CHECK_MAP_UPTR, address)
                .call(file, TEST);
    }

    long checkHolds(long address, long length, int holds) {
        return test(IommufdTest.OP_MD_CHECK_REFS, 0)
                .with(IommufdTest.CHECK_REFS_LENGTH, length)
                .with(IommufdTest.CHECK_REFS_UPTR, address)
                .with(IommufdTest.CHECK_REFS_REFS, holds)
                .call(file, TEST);
    }

    /** The descriptor, or the negative errno. */
    int access(int ioas, boolean holdsPages) {
        ProgramStub.Struct struct =
                test(IommufdTest.OP_CREATE_ACCESS, ioas)
                        .with(IommufdTest.CREATE_ACCESS_FLAGS, holdsPages ? 1 : 0);
        long result = struct.call(file, TEST);
        return result == 0 ? struct.getInt(IommufdTest.CREATE_ACCESS_OUT_FD) : (int) result;
    }

    /** The number of what is held, or the negative errno. */
    int hold(int access, long iova, long length, long address) {
        ProgramStub.Struct struct =
                test(IommufdTest.OP_ACCESS_PAGES, access)
                        .with(IommufdTest.ACCESS_PAGES_IOVA, iova)
                        .with(IommufdTest.ACCESS_PAGES_LENGTH, length)
                        .with(IommufdTest.ACCESS_PAGES_UPTR, address);
        long result = struct.call(file, TEST);
        return result == 0 ? struct.getInt(IommufdTest.ACCESS_PAGES_OUT_ID) : (int) result;
    }

    long drop(int access, int number) {
        return test(IommufdTest.OP_DESTROY_ACCESS_PAGES, access)
                .with(IommufdTest.DESTROY_ACCESS_PAGES_ID, number)
                .call(file, TEST);
    }

    long copyAccess(int access, long iova, long address, long length, boolean isWrite) {
        return test(IommufdTest.OP_ACCESS_RW, access)
                .with(IommufdTest.ACCESS_RW_IOVA, iova)
                .with(IommufdTest.ACCESS_RW_UPTR, address)
                .with(IommufdTest.ACCESS_RW_LENGTH, length)
                .with(IommufdTest.ACCESS_RW_FLAGS, isWrite ? IommufdTest.RW_WRITE : 0)
                .call(file, TEST);
    }

    ProgramStub.Struct hwptStruct(int device, int pt, int flags) {
        return program.struct(Iommufd.HWPT_ALLOC_SIZE)
                .with(Iommufd.HWPT_ALLOC_FLAGS, flags)
                .with(Iommufd.HWPT_ALLOC_DEV_ID, device)
                .with(Iommufd.HWPT_ALLOC_PT_ID, pt);
    }

    /** The id, or the negative errno. */
    int hwpt(int device, int pt, int flags) {
        ProgramStub.Struct struct = hwptStruct(device, pt, flags);
        long result = struct.call(file, Iommufd.CMD_HWPT_ALLOC);
        return result == 0 ? struct.getInt(Iommufd.HWPT_ALLOC_OUT_HWPT_ID) : (int) result;
    }

    private int made(ProgramStub.Struct struct, int number, int out) {
        long result = struct.call(file, number);
        return result == 0 ? struct.getInt(out) : (int) result;
    }

    int viommu(int device, int parent) {
        return made(
                program.struct(Iommufd.VIOMMU_ALLOC_SIZE)
                        .with(Iommufd.VIOMMU_ALLOC_TYPE, IommufdTest.VIOMMU_TYPE_SELFTEST)
                        .with(Iommufd.VIOMMU_ALLOC_DEV_ID, device)
                        .with(Iommufd.VIOMMU_ALLOC_HWPT_ID, parent),
                Iommufd.CMD_VIOMMU_ALLOC,
                Iommufd.VIOMMU_ALLOC_OUT_VIOMMU_ID);
    }

    int vdevice(int viommu, int device, long virtualId) {
        return made(
                program.struct(Iommufd.VDEVICE_ALLOC_SIZE)
                        .with(Iommufd.VDEVICE_ALLOC_VIOMMU_ID, viommu)
                        .with(Iommufd.VDEVICE_ALLOC_DEV_ID, device)
                        .with(Iommufd.VDEVICE_ALLOC_VIRT_ID, virtualId),
                Iommufd.CMD_VDEVICE_ALLOC,
                Iommufd.VDEVICE_ALLOC_OUT_VDEVICE_ID);
    }

    int hwQueue(int viommu, int index, long iova, long length) {
        return made(
                program.struct(Iommufd.HW_QUEUE_ALLOC_SIZE)
                        .with(Iommufd.HW_QUEUE_ALLOC_VIOMMU_ID, viommu)
                        .with(Iommufd.HW_QUEUE_ALLOC_TYPE, IommufdTest.HW_QUEUE_TYPE_SELFTEST)
                        .with(Iommufd.HW_QUEUE_ALLOC_INDEX, index)
                        .with(Iommufd.HW_QUEUE_ALLOC_NESTING_PARENT_IOVA, iova)
                        .with(Iommufd.HW_QUEUE_ALLOC_LENGTH, length),
                Iommufd.CMD_HW_QUEUE_ALLOC,
                Iommufd.HW_QUEUE_ALLOC_OUT_HW_QUEUE_ID);
    }

    /** The id; its descriptor is closed. */
    int veventq(int viommu, int depth) {
        ProgramStub.Struct struct =
                program.struct(Iommufd.VEVENTQ_ALLOC_SIZE)
                        .with(Iommufd.VEVENTQ_ALLOC_VIOMMU_ID, viommu)
                        .with(Iommufd.VEVENTQ_ALLOC_TYPE, IommufdTest.VEVENTQ_TYPE_SELFTEST)
                        .with(Iommufd.VEVENTQ_ALLOC_DEPTH, depth);
        int id = made(struct, Iommufd.CMD_VEVENTQ_ALLOC, Iommufd.VEVENTQ_ALLOC_OUT_VEVENTQ_ID);
        if (id > 0) {
            program.close(struct.getInt(Iommufd.VEVENTQ_ALLOC_OUT_VEVENTQ_FD));
        }
        return id;
    }

    /** A table of a guest; all entries of its cache are 7. */
    int nested(int device, int parent, int flags, int faultQueue) {
        long data = program.mmap(PAGE);
        program.memoryAt(data).bytes().set(JAVA_INT, 0, 7);
        return made(
                hwptStruct(device, parent, flags)
                        .with(Iommufd.HWPT_ALLOC_DATA_TYPE, IommufdTest.HWPT_DATA_SELFTEST)
                        .with(Iommufd.HWPT_ALLOC_DATA_LEN, IommufdTest.HWPT_SELFTEST_SIZE)
                        .with(Iommufd.HWPT_ALLOC_DATA_UPTR, data)
                        .with(Iommufd.HWPT_ALLOC_FAULT_ID, faultQueue),
                Iommufd.CMD_HWPT_ALLOC,
                Iommufd.HWPT_ALLOC_OUT_HWPT_ID);
    }

    long pasid(int op, int stdev, int pasid, int pt) {
        return test(op, stdev)
                .with(IommufdTest.PASID_PASID, pasid)
                .with(IommufdTest.PASID_PT_ID, pt)
                .call(file, TEST);
    }

    /** All that a test has made must go with its files. */
    void closeAll() {
        file.release();
        assertThat(node.openContexts()).as("open contexts").isZero();
        assertThat(node.mappings()).as("mappings").isZero();
        assertThat(node.heldPages()).as("held pages").isZero();
        assertThat(node.tables().held()).as("memory of page tables").isZero();
        assertThat(program.locked().pinned()).as("pinned").isZero();
        assertThat(program.locked().user()).as("charged to the user").isZero();
        assertThat(program.locked().locked()).as("charged to the process").isZero();
        assertThat(program.openFiles()).as("files kept open").isZero();
    }
}
