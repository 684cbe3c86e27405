// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.ioasis.spec.Iommufd.*;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The bytes of ioctls: reads the structure, calls the typed method, writes back. No rule of an
 * object stands here. Under its context's lock.
 */
final class Ioctls {
    private static final int NUMBER_MASK = 0xff;
    private static final int TEST_NUMBER = 0xa0;

    /** Most ranges in one list of allowed IOVAs. */
    private static final int ALLOWED_MAX = 65536;

    private interface Handler {
        void handle(UserCommand command) throws IommufdException;
    }

    private record Entry(int size, int minimum, Handler handler) {}

    private final IommufdContext context;
    private final @Nullable Entry[] entries =
            new @Nullable Entry[CMD_IOAS_NOIOMMU_GET_PA - CMD_BASE + 1];
    private final UserCommand command = new UserCommand();

    Ioctls(IommufdContext context) {
        this.context = context;
        add(CMD_DESTROY, DESTROY_SIZE, this::destroy);
        add(CMD_IOAS_ALLOC, IOAS_ALLOC_SIZE, this::ioasAlloc);
        add(CMD_IOAS_ALLOW_IOVAS, ALLOW_IOVAS_SIZE, this::allowIovas);
        add(CMD_IOAS_COPY, COPY_SIZE, this::copy);
        add(CMD_IOAS_IOVA_RANGES, IOVA_RANGES_SIZE, this::iovaRanges);
        add(CMD_IOAS_MAP, MAP_SIZE, this::map);
        add(CMD_IOAS_UNMAP, UNMAP_SIZE, this::unmap);
        add(CMD_OPTION, OPTION_SIZE, this::option);
        add(CMD_VFIO_IOAS, VFIO_IOAS_SIZE, this::vfioIoas);
        add(CMD_HWPT_ALLOC, HWPT_ALLOC_SIZE, HWPT_ALLOC_MIN, this::hwptAlloc);
        add(CMD_GET_HW_INFO, HW_INFO_SIZE, HW_INFO_MIN, this::hwInfo);
        add(CMD_HWPT_SET_DIRTY_TRACKING, SET_DIRTY_SIZE, this::setDirtyTracking);
        add(CMD_HWPT_GET_DIRTY_BITMAP, GET_DIRTY_SIZE, this::getDirtyBitmap);
        add(CMD_HWPT_INVALIDATE, INVALIDATE_SIZE, this::invalidate);
        add(CMD_FAULT_QUEUE_ALLOC, FAULT_ALLOC_SIZE, this::faultQueueAlloc);
        add(CMD_IOAS_MAP_FILE, MAP_FILE_SIZE, this::mapFile);
        add(CMD_VIOMMU_ALLOC, VIOMMU_ALLOC_SIZE, VIOMMU_ALLOC_MIN, this::viommuAlloc);
        add(CMD_VDEVICE_ALLOC, VDEVICE_ALLOC_SIZE, this::vdeviceAlloc);
        add(CMD_IOAS_CHANGE_PROCESS, CHANGE_PROCESS_SIZE, this::changeProcess);
        add(CMD_VEVENTQ_ALLOC, VEVENTQ_ALLOC_SIZE, VEVENTQ_ALLOC_RESERVED, this::veventqAlloc);
        add(CMD_HW_QUEUE_ALLOC, HW_QUEUE_ALLOC_SIZE, this::hwQueueAlloc);
        add(CMD_IOAS_NOIOMMU_GET_PA, NOIOMMU_GET_PA_SIZE, this::noiommuGetPhysical);
    }

    private void add(int number, int size, Handler handler) {
        add(number, size, size, handler);
    }

    private void add(int number, int size, int minimum, Handler handler) {
        entries[number - CMD_BASE] = new Entry(size, minimum, handler);
    }

    /** Does one. */
    long run(Caller caller, int code, long argument) throws IommufdException {
        int number = code & NUMBER_MASK;
        TestCommands tests = context.node().commands();
        int end = tests == null ? CMD_BASE + entries.length : TEST_NUMBER + 1;
        if (number < CMD_BASE || number >= end) {
            return context.compat().ioctl(caller, code, argument);
        }
        long userSize = command.begin(caller, argument);
        boolean isTest = number == TEST_NUMBER;
        Entry entry = number - CMD_BASE < entries.length ? entries[number - CMD_BASE] : null;
        if (code != (TYPE << 8 | number) || (entry == null && !isTest)) {
            throw new IommufdException(
                    Errno.ENOTTY, "command 0x%x is none of this device".formatted(code));
        }
        int size = isTest && tests != null ? tests.size() : entry == null ? 0 : entry.size;
        int minimum = isTest && tests != null ? tests.minimum() : entry == null ? 0 : entry.minimum;
        if (userSize < minimum) {
            throw new IommufdException(
                    Errno.EINVAL,
                    "a structure of %d bytes is shorter than %d".formatted(userSize, minimum));
        }
        command.read(size, userSize);
        boolean isDone = false;
        try {
            long result = 0;
            if (isTest && tests != null) {
                result = tests.run(context, command);
            } else if (entry != null) {
                entry.handler.handle(command);
            }
            isDone = true;
            return result;
        } finally {
            IommufdObject fresh = command.made();
            if (fresh != null) {
                if (isDone) {
                    context.finish(fresh);
                } else {
                    context.abort(fresh);
                }
            }
            command.end();
        }
    }

    private void destroy(UserCommand command) throws IommufdException {
        context.destroy(command.getInt(DESTROY_ID), command.caller());
    }

    // Address spaces

    private void ioasAlloc(UserCommand command) throws IommufdException {
        command.requireZero(IOAS_ALLOC_FLAGS);
        Ioas ioas = command.made(context.reserveIoas());
        command.setInt(IOAS_ALLOC_OUT_IOAS_ID, ioas.id());
        command.respond();
    }

    private Ioas ioas(UserCommand command, int offset) throws IommufdException {
        return context.find(command.getInt(offset), Ioas.class);
    }

    private void allowIovas(UserCommand command) throws IommufdException {
        command.requireZero(ALLOW_IOVAS_RESERVED);
        Ioas ioas = ioas(command, ALLOW_IOVAS_IOAS_ID);
        long count = Integer.toUnsignedLong(command.getInt(ALLOW_IOVAS_NUM_IOVAS));
        if (count > ALLOWED_MAX) {
            throw new IommufdException(Errno.ENOMEM, "more allowed ranges than are kept");
        }
        MemorySegment list = command.scratch(count * IOVA_RANGE_SIZE);
        if (count > 0
                && command.caller()
                                .read(
                                        command.getLong(ALLOW_IOVAS_ALLOWED_IOVAS),
                                        list,
                                        0,
                                        count * IOVA_RANGE_SIZE)
                        != 0) {
            throw new IommufdException(Errno.EFAULT, "the list cannot be read");
        }
        List<IovaRange> ranges = new ArrayList<>();
        for (long at = 0; at < count * IOVA_RANGE_SIZE; at += IOVA_RANGE_SIZE) {
            ranges.add(
                    new IovaRange(
                            list.get(JAVA_LONG, at + IOVA_RANGE_START),
                            list.get(JAVA_LONG, at + IOVA_RANGE_LAST)));
        }
        ioas.allow(ranges);
    }

    private void iovaRanges(UserCommand command) throws IommufdException {
        command.requireZero(IOVA_RANGES_RESERVED);
        Ioas ioas = ioas(command, IOVA_RANGES_IOAS_ID);
        List<IovaRange> ranges = ioas.usable();
        long room = Integer.toUnsignedLong(command.getInt(IOVA_RANGES_NUM_IOVAS));
        int given = (int) Math.min(room, ranges.size());
        MemorySegment list = command.scratch((long) given * IOVA_RANGE_SIZE);
        for (int i = 0; i < given; i++) {
            list.set(JAVA_LONG, (long) i * IOVA_RANGE_SIZE, ranges.get(i).first());
            list.set(JAVA_LONG, (long) i * IOVA_RANGE_SIZE + 8, ranges.get(i).last());
        }
        if (given > 0
                && command.caller()
                                .write(
                                        command.getLong(IOVA_RANGES_ALLOWED_IOVAS),
                                        list,
                                        0,
                                        (long) given * IOVA_RANGE_SIZE)
                        != 0) {
            throw new IommufdException(Errno.EFAULT, "the list cannot be written");
        }
        command.setInt(IOVA_RANGES_NUM_IOVAS, ranges.size());
        command.setLong(IOVA_RANGES_OUT_ALIGNMENT, ioas.alignment());
        command.respond();
        if (given < ranges.size()) {
            throw new IommufdException(
                    Errno.EMSGSIZE, "there are %d ranges".formatted(ranges.size()));
        }
    }

    private static void checkBelowTop(long iova, long length) throws IommufdException {
        if (iova == -1 || length == -1) {
            throw new IommufdException(Errno.EOVERFLOW, "2^64-1 is no IOVA and no length");
        }
    }

    private void map(UserCommand command) throws IommufdException {
        command.requireZero(MAP_RESERVED);
        checkMapFlags(command.getInt(MAP_FLAGS));
        checkBelowTop(command.getLong(MAP_IOVA), command.getLong(MAP_LENGTH));
        Ioas ioas = ioas(command, MAP_IOAS_ID);
        command.setLong(
                MAP_IOVA,
                ioas.map(
                        command.owner(),
                        command.getLong(MAP_USER_VA),
                        command.getLong(MAP_LENGTH),
                        command.getInt(MAP_FLAGS),
                        command.getLong(MAP_IOVA)));
        command.respond();
    }

    /** An unknown flag is said before anything else is looked at. */
    private static void checkMapFlags(int flags) throws IommufdException {
        if ((flags & ~(MAP_FIXED_IOVA | MAP_WRITEABLE | MAP_READABLE)) != 0) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "unknown flag of a mapping in 0x%x".formatted(flags));
        }
    }

    private void mapFile(UserCommand command) throws IommufdException {
        int flags = command.getInt(MAP_FILE_FLAGS);
        checkMapFlags(flags);
        long start = command.getLong(MAP_FILE_START);
        long length = command.getLong(MAP_FILE_LENGTH);
        long iova = command.getLong(MAP_FILE_IOVA);
        checkBelowTop(iova, length);
        Ioas ioas = ioas(command, MAP_FILE_IOAS_ID);
        int descriptor = command.getInt(MAP_FILE_FD);
        if (command.caller().served(descriptor) instanceof BufferFile buffer) {
            iova = ioas.map(command.owner(), buffer.buffer(), start, length, flags, iova);
        } else {
            ProgramFile file = command.caller().file(descriptor);
            if (file == null) {
                throw new IommufdException(
                        Errno.EBADF, "descriptor %d is not open".formatted(descriptor));
            }
            iova = ioas.map(command.owner(), file, start, length, flags, iova);
        }
        command.setLong(MAP_FILE_IOVA, iova);
        command.respond();
    }

    private void copy(UserCommand command) throws IommufdException {
        checkMapFlags(command.getInt(COPY_FLAGS));
        checkBelowTop(command.getLong(COPY_LENGTH), command.getLong(COPY_DST_IOVA));
        Ioas source = ioas(command, COPY_SRC_IOAS_ID);
        Ioas target = ioas(command, COPY_DST_IOAS_ID);
        command.setLong(
                COPY_DST_IOVA,
                target.copy(
                        source,
                        command.getLong(COPY_SRC_IOVA),
                        command.getLong(COPY_LENGTH),
                        command.getInt(COPY_FLAGS),
                        command.getLong(COPY_DST_IOVA)));
        command.respond();
    }

    private void unmap(UserCommand command) throws IommufdException {
        long iova = command.getLong(UNMAP_IOVA);
        long length = command.getLong(UNMAP_LENGTH);
        Ioas ioas = ioas(command, UNMAP_IOAS_ID);
        if (iova != 0 || length != -1) {
            checkBelowTop(iova, length);
        }
        command.setLong(UNMAP_LENGTH, ioas.unmap(iova, length));
        command.respond();
    }

    private void option(UserCommand command) throws IommufdException {
        if (command.getShort(OPTION_RESERVED) != 0) {
            throw new IommufdException(Errno.EOPNOTSUPP, "a reserved field is not zero");
        }
        switch (command.getInt(OPTION_ID)) {
            case OPTION_RLIMIT_MODE -> rlimitMode(command);
            case OPTION_HUGE_PAGES -> hugePages(command);
            default -> throw new IommufdException(Errno.EOPNOTSUPP, "unknown option");
        }
        command.respond();
    }

    private void rlimitMode(UserCommand command) throws IommufdException {
        command.requireZero(OPTION_OBJECT_ID);
        switch (command.getShort(OPTION_OP)) {
            case OPTION_OP_GET ->
                    command.setLong(
                            OPTION_VAL64, context.accounting() == Accounting.PROCESS ? 1 : 0);
            case OPTION_OP_SET -> {
                if (!command.caller().mayRaiseLimits()) {
                    throw new IommufdException(Errno.EPERM, "that takes CAP_SYS_RESOURCE");
                }
                long value = command.getLong(OPTION_VAL64);
                if (value != 0 && value != 1) {
                    throw new IommufdException(Errno.EINVAL, "the option is 0 or 1");
                }
                context.accounting(value == 0 ? Accounting.USER : Accounting.PROCESS);
            }
            default -> throw new IommufdException(Errno.EOPNOTSUPP, "unknown operation");
        }
    }

    private void hugePages(UserCommand command) throws IommufdException {
        Ioas ioas = ioas(command, OPTION_OBJECT_ID);
        switch (command.getShort(OPTION_OP)) {
            case OPTION_OP_GET -> command.setLong(OPTION_VAL64, ioas.usesLargePages() ? 1 : 0);
            case OPTION_OP_SET -> {
                long value = command.getLong(OPTION_VAL64);
                if (value != 0 && value != 1) {
                    throw new IommufdException(Errno.EINVAL, "the option is 0 or 1");
                }
                ioas.useLargePages(value == 1);
            }
            default -> throw new IommufdException(Errno.EOPNOTSUPP, "unknown operation");
        }
    }

    private void vfioIoas(UserCommand command) throws IommufdException {
        if (command.getShort(VFIO_IOAS_RESERVED) != 0) {
            throw new IommufdException(Errno.EOPNOTSUPP, "a reserved field is not zero");
        }
        switch (command.getShort(VFIO_IOAS_OP)) {
            case VFIO_IOAS_GET -> {
                command.setInt(VFIO_IOAS_ID, context.compat().ioas().id());
                command.respond();
            }
            case VFIO_IOAS_SET -> context.compat().ioas(ioas(command, VFIO_IOAS_ID));
            case VFIO_IOAS_CLEAR -> context.compat().clear();
            default -> throw new IommufdException(Errno.EOPNOTSUPP, "unknown operation");
        }
    }

    /** All that is charged moves to the caller: of all files, or of none. */
    private void changeProcess(UserCommand command) throws IommufdException {
        command.requireZero(CHANGE_PROCESS_RESERVED);
        context.changeProcess(command.caller().memory());
    }

    private void noiommuGetPhysical(UserCommand command) throws IommufdException {
        throw new IommufdException(Errno.EOPNOTSUPP, "devices without an IOMMU are not served");
    }

    // Page tables and devices

    private Device device(UserCommand command, int offset) throws IommufdException {
        return context.find(command.getInt(offset), Device.class);
    }

    private void hwptAlloc(UserCommand command) throws IommufdException {
        command.requireZero(HWPT_ALLOC_RESERVED);
        int flags = command.getInt(HWPT_ALLOC_FLAGS);
        int type = command.getInt(HWPT_ALLOC_DATA_TYPE);
        boolean hasData = command.getInt(HWPT_ALLOC_DATA_LEN) != 0;
        if ((type == HWPT_DATA_NONE) == hasData) {
            throw new IommufdException(Errno.EINVAL, "data has a type, and a type has data");
        }
        UserData data = command.data(type, HWPT_ALLOC_DATA_LEN, HWPT_ALLOC_DATA_UPTR);
        Device device = device(command, HWPT_ALLOC_DEV_ID);
        Hwpt hwpt = command.made(reserveHwpt(command, device, flags, data));
        if ((flags & HWPT_FAULT_ID_VALID) != 0) {
            hwpt.faults(context.find(command.getInt(HWPT_ALLOC_FAULT_ID), FaultQueue.class));
        }
        command.setInt(HWPT_ALLOC_OUT_HWPT_ID, hwpt.id());
        command.respond();
    }

    private Hwpt reserveHwpt(UserCommand command, Device device, int flags, @Nullable UserData data)
            throws IommufdException {
        int id = command.getInt(HWPT_ALLOC_PT_ID);
        return switch (context.lookUp(id, IommufdObject.class)) {
            case Ioas ioas -> context.reserveHwpt(device, ioas, flags, data);
            case PagingHwpt parent -> NestedHwpt.reserve(parent, device, flags, data);
            case Viommu viommu -> NestedHwpt.reserve(viommu, device, flags, data);
            case null, default ->
                    throw new IommufdException(
                            Errno.EINVAL, "no page table can be made of object " + id);
        };
    }

    private void hwInfo(UserCommand command) throws IommufdException {
        int flags = command.getInt(HW_INFO_FLAGS);
        if ((flags & ~HW_INFO_FLAG_INPUT_TYPE) != 0
                || command.getByte(HW_INFO_RESERVED) != 0
                || command.getByte(HW_INFO_RESERVED + 1) != 0
                || command.getByte(HW_INFO_RESERVED + 2) != 0) {
            throw new IommufdException(Errno.EOPNOTSUPP, "a flag or a reserved field is set");
        }
        int type =
                (flags & HW_INFO_FLAG_INPUT_TYPE) == 0
                        ? HW_INFO_TYPE_DEFAULT
                        : command.getInt(HW_INFO_DATA_TYPE);
        Device device = device(command, HW_INFO_DEV_ID);
        context.allocate();
        HwInfo info = device.hardware().info(type);
        writeInfo(command, info.data());
        command.setInt(HW_INFO_DATA_LEN, info.data().length);
        command.setInt(HW_INFO_DATA_TYPE, info.type());
        command.setByte(HW_INFO_OUT_MAX_PASID_LOG2, device.hardware().pasidBits());
        command.setLong(
                HW_INFO_OUT_CAPABILITIES,
                device.hardware().tracksDirty() ? HW_CAP_DIRTY_TRACKING : 0);
        command.respond();
    }

    /** As much as there is room for, and zeros in the rest of it. */
    private void writeInfo(UserCommand command, byte[] data) throws IommufdException {
        long room = Integer.toUnsignedLong(command.getInt(HW_INFO_DATA_LEN));
        long address = command.getLong(HW_INFO_DATA_UPTR);
        MemorySegment piece = command.scratch(UserCommand.PIECE);
        piece.fill((byte) 0);
        MemorySegment.copy(data, 0, piece, JAVA_BYTE, 0, data.length);
        for (long done = 0; done < room; ) {
            long bytes = Math.min(UserCommand.PIECE, room - done);
            if (command.caller().write(address + done, piece, 0, bytes) != 0) {
                throw new IommufdException(Errno.EFAULT, "the information cannot be written");
            }
            done += bytes;
            piece.fill((byte) 0);
        }
    }

    private PagingHwpt pagingHwpt(UserCommand command, int offset) throws IommufdException {
        return context.find(command.getInt(offset), PagingHwpt.class);
    }

    private void setDirtyTracking(UserCommand command) throws IommufdException {
        int flags = command.getInt(SET_DIRTY_FLAGS);
        if ((flags & ~DIRTY_TRACKING_ENABLE) != 0) {
            throw new IommufdException(Errno.EOPNOTSUPP, "unknown flag");
        }
        command.requireZero(SET_DIRTY_RESERVED);
        context.trackDirty(
                pagingHwpt(command, SET_DIRTY_HWPT_ID), (flags & DIRTY_TRACKING_ENABLE) != 0);
    }

    private void getDirtyBitmap(UserCommand command) throws IommufdException {
        int flags = command.getInt(GET_DIRTY_FLAGS);
        if ((flags & ~GET_DIRTY_BITMAP_NO_CLEAR) != 0) {
            throw new IommufdException(Errno.EOPNOTSUPP, "unknown flag");
        }
        command.requireZero(GET_DIRTY_RESERVED);
        PagingHwpt hwpt = pagingHwpt(command, GET_DIRTY_HWPT_ID);
        long iova = command.getLong(GET_DIRTY_IOVA);
        long length = command.getLong(GET_DIRTY_LENGTH);
        long pageSize = command.getLong(GET_DIRTY_PAGE_SIZE);
        long last = context.checkDirty(hwpt, iova, length, pageSize);
        if (last == iova - 1) {
            return;
        }
        DirtyBitmap bitmap =
                new DirtyBitmap(command, command.getLong(GET_DIRTY_DATA), iova, last, pageSize);
        // First, or what is forgotten could be told to nobody.
        bitmap.check();
        hwpt.domain().dirty(iova, last, (flags & GET_DIRTY_BITMAP_NO_CLEAR) == 0, bitmap);
        bitmap.finish();
    }

    private void invalidate(UserCommand command) throws IommufdException {
        Invalidation call = new Invalidation(command);
        IommufdException refusal = null;
        try {
            call.check();
            call.run(context.find(command.getInt(INVALIDATE_HWPT_ID)));
        } catch (IommufdException e) {
            refusal = e;
        }
        // How many were done is said in any case: on failure it is the one that was refused.
        command.setInt(INVALIDATE_ENTRY_NUM, call.done());
        command.respond();
        if (refusal != null) {
            throw refusal;
        }
    }

    // Events and guests

    private void faultQueueAlloc(UserCommand command) throws IommufdException {
        command.requireZero(FAULT_ALLOC_FLAGS);
        FaultQueue queue = command.made(context.reserveFaultQueue());
        command.setInt(FAULT_ALLOC_OUT_FAULT_ID, queue.id());
        install(command, FAULT_ALLOC_OUT_FAULT_FD, queue::file);
    }

    private interface Opens {
        OpenFile open();
    }

    /**
     * A file in the program's table cannot be taken back, so whether the answer can be written is
     * tried first.
     */
    private void install(UserCommand command, int offset, Opens opens) throws IommufdException {
        context.allocate();
        command.respond();
        int descriptor = command.caller().install(opens.open(), true);
        if (descriptor < 0) {
            throw new IommufdException(
                    descriptor == -Errno.ENOMEM.number() ? Errno.ENOMEM : Errno.EMFILE,
                    "no descriptor is free");
        }
        command.setInt(offset, descriptor);
        command.respond();
    }

    private void viommuAlloc(UserCommand command) throws IommufdException {
        command.requireZero(VIOMMU_ALLOC_FLAGS);
        command.requireZero(VIOMMU_ALLOC_RESERVED);
        int type = command.getInt(VIOMMU_ALLOC_TYPE);
        Viommu.checkType(type);
        Device device = device(command, VIOMMU_ALLOC_DEV_ID);
        Viommu.checkType(device, type);
        PagingHwpt parent = pagingHwpt(command, VIOMMU_ALLOC_HWPT_ID);
        UserData data = command.data(type, VIOMMU_ALLOC_DATA_LEN, VIOMMU_ALLOC_DATA_UPTR);
        Viommu viommu = command.made(Viommu.reserve(device, parent, type, data));
        command.setInt(VIOMMU_ALLOC_OUT_VIOMMU_ID, viommu.id());
        command.respond();
    }

    private Viommu viommu(UserCommand command, int offset) throws IommufdException {
        return context.find(command.getInt(offset), Viommu.class);
    }

    private void vdeviceAlloc(UserCommand command) throws IommufdException {
        Viommu viommu = viommu(command, VDEVICE_ALLOC_VIOMMU_ID);
        Device device = device(command, VDEVICE_ALLOC_DEV_ID);
        Vdevice vdevice =
                command.made(
                        Vdevice.reserve(viommu, device, command.getLong(VDEVICE_ALLOC_VIRT_ID)));
        command.setInt(VDEVICE_ALLOC_OUT_VDEVICE_ID, vdevice.id());
        command.respond();
    }

    private void veventqAlloc(UserCommand command) throws IommufdException {
        command.requireZero(VEVENTQ_ALLOC_FLAGS);
        command.requireZero(VEVENTQ_ALLOC_RESERVED);
        int type = command.getInt(VEVENTQ_ALLOC_TYPE);
        int depth = command.getInt(VEVENTQ_ALLOC_DEPTH);
        Veventq.check(type, depth);
        Viommu viommu = viommu(command, VEVENTQ_ALLOC_VIOMMU_ID);
        Veventq queue = command.made(Veventq.reserve(viommu, type, depth));
        command.setInt(VEVENTQ_ALLOC_OUT_VEVENTQ_ID, queue.id());
        install(command, VEVENTQ_ALLOC_OUT_VEVENTQ_FD, queue::file);
    }

    private void hwQueueAlloc(UserCommand command) throws IommufdException {
        command.requireZero(HW_QUEUE_ALLOC_FLAGS);
        int type = command.getInt(HW_QUEUE_ALLOC_TYPE);
        long iova = command.getLong(HW_QUEUE_ALLOC_NESTING_PARENT_IOVA);
        long length = command.getLong(HW_QUEUE_ALLOC_LENGTH);
        HwQueue.check(type, iova, length);
        Viommu viommu = viommu(command, HW_QUEUE_ALLOC_VIOMMU_ID);
        HwQueue queue =
                command.made(
                        HwQueue.reserve(
                                viommu, type, command.getInt(HW_QUEUE_ALLOC_INDEX), iova, length));
        command.setInt(HW_QUEUE_ALLOC_OUT_HW_QUEUE_ID, queue.id());
        command.respond();
    }
}
