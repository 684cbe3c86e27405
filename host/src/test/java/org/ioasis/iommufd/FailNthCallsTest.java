// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommufd.MockHost.APERTURE;
import static org.ioasis.iommufd.MockHost.PAGE;
import static org.ioasis.iommufd.MockHost.READ_WRITE;
import static org.ioasis.iommufd.MockHost.TEST;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.LongSupplier;
import org.ioasis.spec.Iommufd;
import org.ioasis.spec.IommufdTest;
import org.ioasis.spec.VfioType1;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * Each call is made to fail at each of its points in turn, then succeeds: after each failure all
 * objects and their users, all mappings and what is held and charged are what they were.
 */
class FailNthCallsTest {
    private static final int IDS = 64;

    private final MockHost host = new MockHost();
    private final Map<String, Integer> points = new LinkedHashMap<>();
    private long memory;
    private int ioas;
    private int other;
    private MockHost.Bound bound = new MockHost.Bound(0, 0, 0);

    @BeforeEach
    void someOfEverything() {
        // Batches of one run: a mapping has a point for each page.
        host.node.temporaryMemory(16);
        ProgramStub.Memory scattered = new ProgramStub.Memory(32 * PAGE);
        memory = host.program.mmapScattered(scattered, 16);
        ioas = host.ioas();
        other = host.ioas();
        assertThat(host.mapFixed(ioas, memory, 4 * PAGE, APERTURE)).isZero();
        assertThat(host.mapFixed(other, memory, 4 * PAGE, APERTURE)).isZero();
        bound = host.mockDomain(ioas, IommufdTest.DEVICE_PASID);
    }

    @AfterEach
    void nothingIsLeft() {
        host.program.closeAll();
        host.closeAll();
    }

    /** All that a failed call must leave as it was. */
    private String state() {
        StringBuilder text = new StringBuilder();
        text.append(host.node.openContexts()).append(" contexts ");
        text.append(host.node.heldPages()).append(" held ");
        text.append(host.program.locked().pinned()).append(" pinned ");
        text.append(host.program.locked().user()).append(" user ");
        text.append(host.program.locked().locked()).append(" locked ");
        text.append(host.program.openFiles()).append(" files ");
        text.append(host.program.descriptors()).append(" descriptors\n");
        IommufdContext context = (IommufdContext) host.file;
        text.append(context.objects()).append(" objects\n");
        for (int id = 1; id < IDS; id++) {
            IommufdObject object = context.lookUp(id, IommufdObject.class);
            if (object != null) {
                text.append(
                        "%d %s users %d%n"
                                .formatted(id, object.getClass().getSimpleName(), object.users()));
            }
            if (object instanceof Ioas space) {
                text.append("  %s aligned to %d%n".formatted(space.usable(), space.alignment()));
                for (Area area : space.space().areas()) {
                    text.append(
                            "  0x%x..0x%x pages %d accesses %d locks %d filled %b%n"
                                    .formatted(
                                            area.first,
                                            area.last,
                                            area.pages.held(),
                                            area.accesses,
                                            area.locks,
                                            area.storage != null));
                }
            }
            if (object instanceof Device device) {
                text.append(
                        "  attached %s, with a PASID %s%n"
                                .formatted(id(device.attached(0)), id(device.attached(200))));
            }
        }
        return text.toString();
    }

    private static String id(@Nullable Hwpt hwpt) {
        return hwpt == null ? "nothing" : Integer.toString(hwpt.id());
    }

    /** What the call returns when nothing fails any more. */
    private long sweep(String name, LongSupplier call) {
        for (int n = 1; ; n++) {
            assertThat(n).isLessThan(1000);
            String before = state();
            host.program.failures().arm(n);
            long result = call.getAsLong();
            boolean hasFailed = host.program.failures().remaining() == 0;
            host.program.failures().arm(0);
            if (!hasFailed) {
                assertThat(result).as(name + ": " + host.program.rule).isNotNegative();
                points.put(name, n - 1);
                return result;
            }
            assertThat(result).as("%s, failure %d", name, n).isNegative();
            assertThat(state()).as("%s, failure %d", name, n).isEqualTo(before);
        }
    }

    @Test
    void addressSpaces() {
        int made =
                (int)
                        sweep(
                                "IOAS_ALLOC",
                                () -> {
                                    ProgramStub.Struct struct =
                                            host.program.struct(Iommufd.IOAS_ALLOC_SIZE);
                                    long result = struct.call(host.file, Iommufd.CMD_IOAS_ALLOC);
                                    return result < 0
                                            ? result
                                            : struct.getInt(Iommufd.IOAS_ALLOC_OUT_IOAS_ID);
                                });
        sweep("MAP", () -> host.mapFixed(ioas, memory, 8 * PAGE, 2 * APERTURE));
        sweep("MAP anywhere", () -> host.map(ioas, memory, 3 * PAGE));
        sweep("MAP lazily", () -> host.mapFixed(made, memory, 8 * PAGE, APERTURE));
        int descriptor = host.program.open(new ProgramStub.Memory(8 * PAGE));
        sweep("MAP_FILE", () -> host.mapFile(ioas, descriptor, 0, 8 * PAGE));
        sweep(
                "COPY",
                () -> host.copy(ioas, ioas, 2 * APERTURE, 8 * PAGE, 3 * APERTURE, READ_WRITE));
        sweep(
                "COPY from a space without page tables",
                () -> host.copy(ioas, made, APERTURE, 8 * PAGE, 4 * APERTURE, READ_WRITE));
        sweep(
                "ALLOW_IOVAS",
                () -> {
                    long list = memory;
                    host.program.memoryAt(list).bytes().set(JAVA_LONG, 0, APERTURE);
                    host.program.memoryAt(list).bytes().set(JAVA_LONG, 8, 64 * APERTURE);
                    return host.program
                            .struct(Iommufd.ALLOW_IOVAS_SIZE)
                            .with(Iommufd.ALLOW_IOVAS_IOAS_ID, ioas)
                            .with(Iommufd.ALLOW_IOVAS_NUM_IOVAS, 1)
                            .with(Iommufd.ALLOW_IOVAS_ALLOWED_IOVAS, list)
                            .call(host.file, Iommufd.CMD_IOAS_ALLOW_IOVAS);
                });
        sweep("UNMAP", () -> host.unmap(ioas, 3 * APERTURE, 8 * PAGE));
        sweep("UNMAP all", () -> host.unmap(ioas, 0, -1));
        sweep("DESTROY", () -> host.destroy(made));
        sweep(
                "OPTION",
                () ->
                        host.program
                                .struct(Iommufd.OPTION_SIZE)
                                .with(Iommufd.OPTION_ID, Iommufd.OPTION_HUGE_PAGES)
                                .with(Iommufd.OPTION_OBJECT_ID, other)
                                .call(host.file, Iommufd.CMD_OPTION));
        assertThat(points).hasSize(12).containsEntry("UNMAP", 0).containsEntry("DESTROY", 0);
        assertThat(points.get("MAP")).isGreaterThan(8);
        assertThat(points.get("MAP_FILE")).isPositive();
        assertThat(points.get("COPY")).isPositive();
    }

    @Test
    void aRefusedMappingOfABufferIsNoneOfItsMappings() {
        int descriptor =
                (int)
                        host.test(IommufdTest.OP_DMABUF_GET, 0)
                                .with(IommufdTest.DMABUF_GET_LENGTH, 4 * (int) PAGE)
                                .call(host.file, TEST);
        RevocableBuffer buffer = ((BufferFile) host.program.ours(descriptor)).buffer();
        assertThat(host.map(ioas, memory, PAGE)).isPositive();
        for (int n = 1; buffer.mappings() == 0; n++) {
            assertThat(n).isLessThan(100);
            host.program.failures().arm(n);
            long result = host.mapFile(ioas, descriptor, 0, 4 * PAGE);
            assertThat(result < 0).isEqualTo(host.program.failures().remaining() == 0);
            assertThat(buffer.mappings()).as("failure %d", n).isEqualTo(result < 0 ? 0 : 1);
            host.program.failures().arm(0);
        }
    }

    @Test
    void chargesMoveToAnotherProcessWholeOrNotAtAll() {
        assertThat(host.unmap(ioas, 0, -1)).isPositive();
        assertThat(host.unmap(other, 0, -1)).isPositive();
        ProgramStub before = new ProgramStub();
        for (int i = 0; i < 3; i++) {
            long result =
                    before.struct(Iommufd.MAP_FILE_SIZE)
                            .with(Iommufd.MAP_FILE_FLAGS, MockHost.READ_WRITE)
                            .with(Iommufd.MAP_FILE_IOAS_ID, ioas)
                            .with(
                                    Iommufd.MAP_FILE_FD,
                                    before.open(new ProgramStub.Memory(4 * PAGE)))
                            .with(Iommufd.MAP_FILE_LENGTH, 4 * PAGE)
                            .call(host.file, Iommufd.CMD_IOAS_MAP_FILE);
            assertThat(result).isZero();
        }
        assertThat(before.locked().pinned()).isEqualTo(12);
        sweep(
                "CHANGE_PROCESS",
                () ->
                        host.program
                                .struct(Iommufd.CHANGE_PROCESS_SIZE)
                                .call(host.file, Iommufd.CMD_IOAS_CHANGE_PROCESS));
        assertThat(points.get("CHANGE_PROCESS")).isEqualTo(3);
        assertThat(before.locked().pinned()).isZero();
        assertThat(before.locked().user()).isZero();
        assertThat(host.program.locked().pinned()).isEqualTo(12);
    }

    @Test
    void accesses() {
        int access = (int) sweep("access", () -> host.access(ioas, true));
        int held = (int) sweep("pin", () -> host.hold(access, APERTURE, 4 * PAGE, memory));
        sweep("pin again", () -> host.hold(access, APERTURE, 4 * PAGE, memory));
        long buffer = host.program.mmap(4 * PAGE);
        sweep("read", () -> host.copyAccess(access, APERTURE + 5, buffer, 3 * PAGE, false));
        sweep("write", () -> host.copyAccess(access, APERTURE + 5, buffer, 3 * PAGE, true));
        sweep("unpin", () -> host.drop(access, held));
        sweep(
                "replace",
                () ->
                        host.test(IommufdTest.OP_ACCESS_REPLACE_IOAS, access)
                                .with(IommufdTest.ACCESS_REPLACE_IOAS_ID, other)
                                .call(host.file, TEST));
        sweep("pin without a page table", () -> host.hold(access, APERTURE, 4 * PAGE, memory));
        assertThat(points).hasSize(8).containsEntry("unpin", 0);
        assertThat(points.get("pin without a page table")).isGreaterThan(4);
    }

    @Test
    void devicesAndPageTables() {
        int second =
                (int)
                        sweep(
                                "device",
                                () -> {
                                    long result =
                                            host.tryMockDomain(ioas, IommufdTest.DEVICE_PASID);
                                    return result < 0
                                            ? result
                                            : host.program.peek(
                                                    IommufdTest.MOCK_DOMAIN_OUT_STDEV_ID);
                                });
        sweep("device of a space without page tables", () -> host.tryMockDomain(other, 0));
        int device = bound.device();
        int plain = (int) sweep("table", () -> host.hwpt(device, ioas, Iommufd.HWPT_ALLOC_PASID));
        sweep("replace by a space", () -> host.replace(bound.stdev(), other));
        sweep("replace by a table", () -> host.replace(bound.stdev(), plain));
        int pasid = 200;
        int parent =
                (int)
                        sweep(
                                "parent",
                                () ->
                                        host.hwpt(
                                                device,
                                                ioas,
                                                Iommufd.HWPT_ALLOC_NEST_PARENT
                                                        | Iommufd.HWPT_ALLOC_PASID));
        sweep(
                "PASID attach",
                () -> host.pasid(IommufdTest.OP_PASID_ATTACH, bound.stdev(), pasid, plain));
        sweep(
                "PASID replace",
                () -> host.pasid(IommufdTest.OP_PASID_REPLACE, bound.stdev(), pasid, parent));
        sweep(
                "PASID detach",
                () -> host.pasid(IommufdTest.OP_PASID_DETACH, bound.stdev(), pasid, 0));
        sweep(
                "HW_INFO",
                () -> {
                    long data = host.program.mmap(PAGE);
                    return host.program
                            .struct(Iommufd.HW_INFO_SIZE)
                            .with(Iommufd.HW_INFO_DEV_ID, device)
                            .with(Iommufd.HW_INFO_DATA_LEN, 64)
                            .with(Iommufd.HW_INFO_DATA_UPTR, data)
                            .call(host.file, Iommufd.CMD_GET_HW_INFO);
                });
        sweep("device goes", () -> host.destroy(second));
        assertThat(points).hasSize(11).containsEntry("device goes", 0);
        assertThat(points.get("table")).isGreaterThan(8);
        assertThat(points.get("device of a space without page tables")).isGreaterThan(8);
    }

    @Test
    void dirtyTracking() {
        int table =
                (int)
                        sweep(
                                "table",
                                () ->
                                        host.hwpt(
                                                bound.device(),
                                                ioas,
                                                Iommufd.HWPT_ALLOC_DIRTY_TRACKING));
        sweep(
                "SET_DIRTY_TRACKING",
                () ->
                        host.program
                                .struct(Iommufd.SET_DIRTY_SIZE)
                                .with(Iommufd.SET_DIRTY_HWPT_ID, table)
                                .with(Iommufd.SET_DIRTY_FLAGS, Iommufd.DIRTY_TRACKING_ENABLE)
                                .call(host.file, Iommufd.CMD_HWPT_SET_DIRTY_TRACKING));
        long bitmap = host.program.mmap(PAGE);
        sweep(
                "GET_DIRTY_BITMAP",
                () ->
                        host.program
                                .struct(Iommufd.GET_DIRTY_SIZE)
                                .with(Iommufd.GET_DIRTY_HWPT_ID, table)
                                .with(Iommufd.GET_DIRTY_IOVA, APERTURE)
                                .with(Iommufd.GET_DIRTY_LENGTH, 4 * PAGE)
                                .with(Iommufd.GET_DIRTY_PAGE_SIZE, PAGE)
                                .with(Iommufd.GET_DIRTY_DATA, bitmap)
                                .call(host.file, Iommufd.CMD_HWPT_GET_DIRTY_BITMAP));
        assertThat(points).hasSize(3);
        assertThat(points.get("table")).isGreaterThan(4);
    }

    @Test
    void objectsOfAGuest() {
        int device = bound.device();
        int parent = host.hwpt(device, ioas, Iommufd.HWPT_ALLOC_NEST_PARENT);
        int viommu = (int) sweep("VIOMMU_ALLOC", () -> host.viommu(device, parent));
        int vdevice = (int) sweep("VDEVICE_ALLOC", () -> host.vdevice(viommu, device, 7));
        int queue = (int) sweep("HW_QUEUE_ALLOC", () -> host.hwQueue(viommu, 0, APERTURE, PAGE));
        int events = (int) sweep("VEVENTQ_ALLOC", () -> host.veventq(viommu, 2));
        int faults =
                (int)
                        sweep(
                                "FAULT_QUEUE_ALLOC",
                                () -> {
                                    ProgramStub.Struct struct =
                                            host.program.struct(Iommufd.FAULT_ALLOC_SIZE);
                                    long result =
                                            struct.call(host.file, Iommufd.CMD_FAULT_QUEUE_ALLOC);
                                    return result < 0
                                            ? result
                                            : struct.getInt(Iommufd.FAULT_ALLOC_OUT_FAULT_ID);
                                });
        int nested =
                (int)
                        sweep(
                                "nested table",
                                () ->
                                        host.nested(
                                                device,
                                                viommu,
                                                Iommufd.HWPT_FAULT_ID_VALID,
                                                faults));
        sweep("replace by a nested table", () -> host.replace(bound.stdev(), nested));
        long entries = host.program.mmap(PAGE);
        host.program.memoryAt(entries).bytes().set(JAVA_INT, 0, 1);
        sweep(
                "INVALIDATE",
                () ->
                        host.program
                                .struct(Iommufd.INVALIDATE_SIZE)
                                .with(Iommufd.INVALIDATE_HWPT_ID, nested)
                                .with(Iommufd.INVALIDATE_DATA_UPTR, entries)
                                .with(
                                        Iommufd.INVALIDATE_DATA_TYPE,
                                        IommufdTest.INVALIDATE_DATA_SELFTEST)
                                .with(Iommufd.INVALIDATE_ENTRY_LEN, 8)
                                .with(Iommufd.INVALIDATE_ENTRY_NUM, 1)
                                .call(host.file, Iommufd.CMD_HWPT_INVALIDATE));
        sweep(
                "page request",
                () ->
                        host.test(IommufdTest.OP_TRIGGER_IOPF, 0)
                                .with(IommufdTest.TRIGGER_IOPF_DEV_ID, device)
                                .with(IommufdTest.TRIGGER_IOPF_GRPID, 1)
                                .with(IommufdTest.TRIGGER_IOPF_PERM, 3)
                                .call(host.file, TEST));
        sweep("replace by a space", () -> host.replace(bound.stdev(), ioas));
        for (int id : new int[] {nested, events, queue, vdevice, viommu, parent}) {
            sweep("DESTROY " + id, () -> host.destroy(id));
        }
        assertThat(points).hasSize(16);
        assertThat(points.get("HW_QUEUE_ALLOC")).isPositive();
        assertThat(points.get("nested table")).isPositive();
    }

    private long vfioIoas(int operation, int id) {
        return host.program
                .struct(Iommufd.VFIO_IOAS_SIZE)
                .with(Iommufd.VFIO_IOAS_ID, id)
                .with(Iommufd.VFIO_IOAS_OP, operation)
                .call(host.file, Iommufd.CMD_VFIO_IOAS);
    }

    private long vfioUnmap(long iova, long length) {
        return host.program
                .struct(VfioType1.UNMAP_LENGTH)
                .with(VfioType1.UNMAP_IOVA, iova)
                .with(VfioType1.UNMAP_SIZE, length)
                .call(host.file, VfioType1.IOMMU_UNMAP_DMA & 0xff);
    }

    @Test
    void callsOfVfio() {
        sweep("VFIO_IOAS", () -> vfioIoas(Iommufd.VFIO_IOAS_SET, other));
        sweep("VFIO_IOAS get", () -> vfioIoas(Iommufd.VFIO_IOAS_GET, 0));
        sweep("version", () -> host.file.ioctl(host.program, VfioType1.GET_API_VERSION, 0));
        sweep(
                "extension",
                () ->
                        host.file.ioctl(
                                host.program, VfioType1.CHECK_EXTENSION, VfioType1.DMA_CC_IOMMU));
        // Version 1: mappings are cut.
        sweep(
                "SET_IOMMU",
                () -> host.file.ioctl(host.program, VfioType1.SET_IOMMU, VfioType1.TYPE1_IOMMU));
        sweep(
                "GET_INFO",
                () -> host.program.struct(256).call(host.file, VfioType1.IOMMU_GET_INFO & 0xff));
        host.mockDomain(other);
        sweep(
                "MAP_DMA",
                () ->
                        host.program
                                .struct(VfioType1.MAP_LENGTH)
                                .with(
                                        VfioType1.MAP_FLAGS,
                                        VfioType1.MAP_FLAG_READ | VfioType1.MAP_FLAG_WRITE)
                                .with(VfioType1.MAP_VADDR, memory)
                                .with(VfioType1.MAP_IOVA, 2 * APERTURE)
                                .with(VfioType1.MAP_SIZE, 8 * PAGE)
                                .call(host.file, VfioType1.IOMMU_MAP_DMA & 0xff));
        sweep("UNMAP_DMA", () -> vfioUnmap(2 * APERTURE, 8 * PAGE));
        sweep("VFIO_IOAS clear", () -> vfioIoas(Iommufd.VFIO_IOAS_CLEAR, 0));
        assertThat(points).hasSize(9);
        assertThat(points.get("VFIO_IOAS")).isZero();
        assertThat(points.get("MAP_DMA")).isGreaterThan(8);
        assertThat(host.program.locked().locked()).isZero();
    }

    @Test
    void rangesOfIovas() {
        long list = host.program.mmap(PAGE);
        sweep(
                "IOVA_RANGES",
                () ->
                        host.program
                                .struct(Iommufd.IOVA_RANGES_SIZE)
                                .with(Iommufd.IOVA_RANGES_IOAS_ID, ioas)
                                .with(Iommufd.IOVA_RANGES_NUM_IOVAS, 8)
                                .with(Iommufd.IOVA_RANGES_ALLOWED_IOVAS, list)
                                .call(host.file, Iommufd.CMD_IOAS_IOVA_RANGES));
        assertThat(points).hasSize(1);
        assertThat(host.program.memoryAt(list).bytes().get(JAVA_LONG, 0)).isEqualTo(APERTURE);
    }
}
