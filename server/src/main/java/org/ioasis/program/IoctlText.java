// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.ioasis.spec.Iommufd;
import org.ioasis.spec.VfioDevice;
import org.ioasis.spec.VfioType1;
import org.jspecify.annotations.Nullable;

/**
 * The argument of an ioctl in words: names of commands and of the fields of their structures
 * (linux/iommufd.h, linux/vfio.h). For people only: the call itself reads its argument on its own,
 * and the program may have changed it in between. Supervisor's thread.
 */
final class IoctlText {
    private static final int BYTES_MAX = 64;

    /** A field: name, offset and bytes. */
    private record Field(String name, int offset, int bytes) {}

    private record Command(String name, List<Field> fields) {}

    private static final Map<Integer, Command> COMMANDS = new TreeMap<>();

    static {
        // Fields follow each other as the C structure's do: 4 bytes unless said otherwise.
        add(Iommufd.CMD_DESTROY, "IOMMU_DESTROY", "size id");
        add(Iommufd.CMD_IOAS_ALLOC, "IOMMU_IOAS_ALLOC", "size flags out_ioas_id");
        add(
                Iommufd.CMD_IOAS_ALLOW_IOVAS,
                "IOMMU_IOAS_ALLOW_IOVAS",
                "size ioas_id num_iovas - allowed_iovas:8");
        add(
                Iommufd.CMD_IOAS_COPY,
                "IOMMU_IOAS_COPY",
                "size flags dst_ioas_id src_ioas_id length:8 dst_iova:8 src_iova:8");
        add(
                Iommufd.CMD_IOAS_IOVA_RANGES,
                "IOMMU_IOAS_IOVA_RANGES",
                "size ioas_id num_iovas - allowed_iovas:8 out_iova_alignment:8");
        add(
                Iommufd.CMD_IOAS_MAP,
                "IOMMU_IOAS_MAP",
                "size flags ioas_id - user_va:8 length:8 iova:8");
        add(Iommufd.CMD_IOAS_UNMAP, "IOMMU_IOAS_UNMAP", "size ioas_id iova:8 length:8");
        add(Iommufd.CMD_OPTION, "IOMMU_OPTION", "size option_id op:2 -:2 object_id val64:8");
        add(Iommufd.CMD_VFIO_IOAS, "IOMMU_VFIO_IOAS", "size ioas_id op:2 -:2");
        add(
                Iommufd.CMD_HWPT_ALLOC,
                "IOMMU_HWPT_ALLOC",
                "size flags dev_id pt_id out_hwpt_id - data_type data_len data_uptr:8 fault_id");
        add(
                Iommufd.CMD_GET_HW_INFO,
                "IOMMU_GET_HW_INFO",
                "size flags dev_id data_len data_uptr:8 out_data_type out_max_pasid_log2:1 -:3 out_capabilities:8");
        add(
                Iommufd.CMD_HWPT_SET_DIRTY_TRACKING,
                "IOMMU_HWPT_SET_DIRTY_TRACKING",
                "size flags hwpt_id -");
        add(
                Iommufd.CMD_HWPT_GET_DIRTY_BITMAP,
                "IOMMU_HWPT_GET_DIRTY_BITMAP",
                "size hwpt_id flags - iova:8 length:8 page_size:8 data:8");
        add(
                Iommufd.CMD_HWPT_INVALIDATE,
                "IOMMU_HWPT_INVALIDATE",
                "size hwpt_id data_uptr:8 data_type entry_len entry_num -");
        add(
                Iommufd.CMD_FAULT_QUEUE_ALLOC,
                "IOMMU_FAULT_QUEUE_ALLOC",
                "size flags out_fault_id out_fault_fd");
        add(
                Iommufd.CMD_IOAS_MAP_FILE,
                "IOMMU_IOAS_MAP_FILE",
                "size flags ioas_id fd start:8 length:8 iova:8");
        add(
                Iommufd.CMD_VIOMMU_ALLOC,
                "IOMMU_VIOMMU_ALLOC",
                "size flags type dev_id hwpt_id out_viommu_id data_len - data_uptr:8");
        add(
                Iommufd.CMD_VDEVICE_ALLOC,
                "IOMMU_VDEVICE_ALLOC",
                "size viommu_id dev_id out_vdevice_id virt_id:8");
        add(Iommufd.CMD_IOAS_CHANGE_PROCESS, "IOMMU_IOAS_CHANGE_PROCESS", "size -");
        add(
                Iommufd.CMD_VEVENTQ_ALLOC,
                "IOMMU_VEVENTQ_ALLOC",
                "size flags viommu_id type veventq_depth out_veventq_id out_veventq_fd -");
        add(
                Iommufd.CMD_HW_QUEUE_ALLOC,
                "IOMMU_HW_QUEUE_ALLOC",
                "size flags viommu_id type index out_hw_queue_id nesting_parent_iova:8 length:8");
        add(0xa0, "IOMMU_TEST_CMD", "size op id - :8 :8 :8");
        add(VfioType1.GET_API_VERSION, "VFIO_GET_API_VERSION", "");
        add(VfioType1.CHECK_EXTENSION, "VFIO_CHECK_EXTENSION", "");
        add(VfioType1.SET_IOMMU, "VFIO_SET_IOMMU", "");
        add(VfioType1.GROUP_GET_STATUS, "VFIO_GROUP_GET_STATUS", "argsz flags");
        add(VfioType1.GROUP_SET_CONTAINER, "VFIO_GROUP_SET_CONTAINER", "");
        add(VfioType1.GROUP_UNSET_CONTAINER, "VFIO_GROUP_UNSET_CONTAINER", "");
        add(VfioType1.GROUP_GET_DEVICE_FD, "VFIO_GROUP_GET_DEVICE_FD", "");
        add(VfioDevice.GET_INFO, "VFIO_DEVICE_GET_INFO", "argsz flags num_regions num_irqs");
        add(
                VfioDevice.GET_REGION_INFO,
                "VFIO_DEVICE_GET_REGION_INFO",
                "argsz flags index cap_offset size:8 offset:8");
        add(VfioDevice.GET_IRQ_INFO, "VFIO_DEVICE_GET_IRQ_INFO", "argsz flags index count");
        add(VfioDevice.SET_IRQS, "VFIO_DEVICE_SET_IRQS", "argsz flags index start count");
        add(VfioDevice.RESET, "VFIO_DEVICE_RESET", "");
        add(VfioDevice.BIND_IOMMUFD, "VFIO_DEVICE_BIND_IOMMUFD", "argsz flags iommufd out_devid");
        add(
                VfioDevice.ATTACH_IOMMUFD_PT,
                "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
                "argsz flags pt_id pasid");
        add(VfioDevice.DETACH_IOMMUFD_PT, "VFIO_DEVICE_DETACH_IOMMUFD_PT", "argsz flags pasid");
        // What has one number on two files (0x3b70, 0x3b71) is named as the container's.
        add(
                VfioType1.IOMMU_GET_INFO,
                "VFIO_IOMMU_GET_INFO",
                "argsz flags iova_pgsizes:8 cap_offset");
        add(VfioType1.IOMMU_MAP_DMA, "VFIO_IOMMU_MAP_DMA", "argsz flags vaddr:8 iova:8 size:8");
        add(VfioType1.IOMMU_UNMAP_DMA, "VFIO_IOMMU_UNMAP_DMA", "argsz flags iova:8 size:8");
    }

    private final MemorySegment before = Arena.ofAuto().allocate(BYTES_MAX);
    private final MemorySegment after = Arena.ofAuto().allocate(BYTES_MAX);
    private @Nullable Command current;
    private long argument;
    private int known;

    private static List<String> words(String layout) {
        return layout.isEmpty() ? List.of() : List.of(layout.split(" ", -1));
    }

    private static void add(int number, String name, String layout) {
        List<Field> fields = new ArrayList<>();
        int offset = 0;
        for (String word : words(layout)) {
            int colon = word.indexOf(':');
            int bytes = colon < 0 ? Integer.BYTES : Integer.parseInt(word.substring(colon + 1));
            String field = colon < 0 ? word : word.substring(0, colon);
            if (!field.equals("-")) {
                fields.add(new Field(field.isEmpty() ? "@" + offset : field, offset, bytes));
            }
            offset += bytes;
        }
        COMMANDS.put(Iommufd.TYPE << 8 | number, new Command(name, fields));
    }

    /** Appends command and fields as the program gave them. */
    void before(TaskCaller caller, int command, long address, StringBuilder line) {
        Command found = COMMANDS.get(command);
        current = found;
        argument = address;
        known = 0;
        if (found == null) {
            line.append("0x").append(Integer.toHexString(command));
            return;
        }
        line.append(found.name());
        List<Field> fields = found.fields();
        if (fields.isEmpty()) {
            line.append(", ").append(address);
            return;
        }
        if (caller.read(address, before, 0, Integer.BYTES) < 0) {
            line.append(", 0x").append(Long.toHexString(address));
            return;
        }
        int size = before.get(JAVA_INT_UNALIGNED, 0);
        Field last = fields.getLast();
        int whole = Math.min(last.offset() + last.bytes(), BYTES_MAX);
        int length = size < 0 || size > whole ? whole : Math.max(size, Integer.BYTES);
        known = caller.read(address, before, 0, length) < 0 ? Integer.BYTES : length;
        line.append(", {");
        String gap = "";
        for (Field field : fields) {
            if (field.offset() + field.bytes() <= known) {
                line.append(gap).append(field.name()).append('=');
                value(before, field, line);
                gap = " ";
            }
        }
        line.append('}');
    }

    /** The fields that have another value now, in braces; empty if none has. */
    String after(TaskCaller caller) {
        Command found = current;
        if (found == null || known == 0 || caller.read(argument, after, 0, known) < 0) {
            return "";
        }
        StringBuilder changed = new StringBuilder();
        for (Field field : found.fields()) {
            int end = field.offset() + field.bytes();
            if (end <= known
                    && MemorySegment.mismatch(
                                    before, field.offset(), end, after, field.offset(), end)
                            >= 0) {
                changed.append(changed.isEmpty() ? "{" : " ").append(field.name()).append('=');
                value(after, field, changed);
            }
        }
        return changed.isEmpty() ? "" : changed.append('}').toString();
    }

    private static void value(MemorySegment from, Field field, StringBuilder line) {
        long value =
                switch (field.bytes()) {
                    case 1 ->
                            from.get(java.lang.foreign.ValueLayout.JAVA_BYTE, field.offset())
                                    & 0xff;
                    case 2 -> from.get(JAVA_SHORT_UNALIGNED, field.offset()) & 0xffff;
                    case 4 -> Integer.toUnsignedLong(from.get(JAVA_INT_UNALIGNED, field.offset()));
                    default -> from.get(JAVA_LONG_UNALIGNED, field.offset());
                };
        if (Long.compareUnsigned(value, 0xffff) > 0) {
            line.append("0x").append(Long.toHexString(value));
        } else {
            line.append(value);
        }
    }
}
