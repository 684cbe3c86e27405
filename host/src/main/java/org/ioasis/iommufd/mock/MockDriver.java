// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.mock;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.ioasis.iommufd.HwDevice.NO_PASID;
import static org.ioasis.spec.Iommufd.PGFAULT_FLAGS_LAST_PAGE;
import static org.ioasis.spec.Iommufd.PGFAULT_FLAGS_PASID_VALID;
import static org.ioasis.spec.IommufdTest.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Objects;
import org.ioasis.iommufd.Access;
import org.ioasis.iommufd.BufferFile;
import org.ioasis.iommufd.Device;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.HwDomain;
import org.ioasis.iommufd.Ioas;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdObject;
import org.ioasis.iommufd.NestedHwpt;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.iommufd.PageRun;
import org.ioasis.iommufd.PagingHwpt;
import org.ioasis.iommufd.RevocableBuffer;
import org.ioasis.iommufd.TableDomain;
import org.ioasis.iommufd.TestCommands;
import org.ioasis.iommufd.UserCommand;
import org.ioasis.iommufd.Vdevice;
import org.ioasis.iommufd.Veventq;
import org.jspecify.annotations.Nullable;

/**
 * The ioctl by which selftests make mock devices and look into them: an IOMMU that is only there to
 * be tested. Under the lock of the calling context.
 */
public final class MockDriver implements TestCommands {
    private static final long CPU_PAGE = 4096;

    /** Most bytes of one access; what is copied is ours for a while. */
    private static final long ACCESS_MAX = 16L << 20;

    /** Most bytes of a buffer. */
    private static final long BUFFER_MAX = 512 * CPU_PAGE;

    /** Most bytes of a dirty bitmap in one command. */
    private static final long BITMAP_MAX = 1 << 20;

    @Override
    public int size() {
        return SIZE;
    }

    @Override
    public int minimum() {
        return MIN;
    }

    @Override
    public long run(IommufdContext context, UserCommand command) throws IommufdException {
        switch (command.getInt(OP)) {
            case OP_ADD_RESERVED -> addReserved(context, command);
            case OP_MOCK_DOMAIN -> mockDomain(context, command, 0);
            case OP_MOCK_DOMAIN_FLAGS ->
                    mockDomain(context, command, command.getInt(MOCK_DOMAIN_DEV_FLAGS));
            case OP_MOCK_DOMAIN_REPLACE -> replace(context, command);
            case OP_MD_CHECK_MAP -> checkMap(context, command);
            case OP_MD_CHECK_REFS -> checkRefs(context, command);
            case OP_CREATE_ACCESS -> createAccess(context, command);
            case OP_ACCESS_REPLACE_IOAS ->
                    access(command)
                            .access()
                            .replace(find(context, command, ACCESS_REPLACE_IOAS_ID, Ioas.class));
            case OP_ACCESS_PAGES -> accessPages(context, command);
            case OP_DESTROY_ACCESS_PAGES ->
                    access(command).drop(command.getInt(DESTROY_ACCESS_PAGES_ID));
            case OP_ACCESS_RW -> accessCopy(command);
            case OP_SET_TEMP_MEMORY_LIMIT ->
                    context.node().temporaryMemory(command.getInt(MEMORY_LIMIT));
            case OP_DIRTY -> dirty(context, command);
            case OP_MD_CHECK_IOTLB -> checkIotlb(context, command);
            case OP_DEV_CHECK_CACHE -> checkCache(context, command);
            case OP_TRIGGER_IOPF -> triggerPageRequest(context, command);
            case OP_TRIGGER_VEVENT -> triggerEvent(context, command);
            case OP_PASID_ATTACH, OP_PASID_REPLACE, OP_PASID_DETACH, OP_PASID_CHECK_HWPT ->
                    pasid(context, command);
            case OP_DMABUF_GET -> {
                return bufferGet(command);
            }
            case OP_DMABUF_REVOKE -> bufferRevoke(command);
            default -> throw new IommufdException(Errno.EOPNOTSUPP, "no such test");
        }
        return 0;
    }

    private static <T extends IommufdObject> T find(
            IommufdContext context, UserCommand command, int offset, Class<T> kind)
            throws IommufdException {
        T found = context.lookUp(command.getInt(offset), kind);
        if (found == null) {
            throw new IommufdException(
                    Errno.ENOENT,
                    "object %d is no %s".formatted(command.getInt(offset), kind.getSimpleName()));
        }
        return found;
    }

    private static void refuse(boolean isRefused, Errno errno, String rule)
            throws IommufdException {
        if (isRefused) {
            throw new IommufdException(errno, rule);
        }
    }

    private static void addReserved(IommufdContext context, UserCommand command)
            throws IommufdException {
        long start = command.getLong(ADD_RESERVED_START);
        long last = start + command.getLong(ADD_RESERVED_LENGTH) - 1;
        refuse(Long.compareUnsigned(last, start) < 0, Errno.EINVAL, "no such range");
        find(context, command, ID, Ioas.class).reserve(start, last);
    }

    // Devices

    private void mockDomain(IommufdContext context, UserCommand command, int flags)
            throws IommufdException {
        refuse((flags & ~(DEVICE_NO_DIRTY | DEVICE_PASID)) != 0, Errno.EINVAL, "unknown flag");
        Device device = context.bind(new MockDevice(this, context.node(), flags));
        MockBinding binding = new MockBinding(context, device);
        boolean isBound = false;
        try {
            int hwpt = device.attach(command.getInt(ID), NO_PASID);
            context.add(binding);
            isBound = true;
            command.setInt(MOCK_DOMAIN_OUT_HWPT_ID, hwpt);
        } finally {
            if (!isBound) {
                binding.destroyed();
            }
        }
        command.setInt(MOCK_DOMAIN_OUT_STDEV_ID, binding.id());
        command.setInt(MOCK_DOMAIN_OUT_IDEV_ID, device.id());
        try {
            command.respond();
        } catch (IommufdException e) {
            context.destroy(binding.id());
            throw e;
        }
    }

    private static Device bound(IommufdContext context, UserCommand command)
            throws IommufdException {
        return find(context, command, ID, MockBinding.class).device();
    }

    private static void replace(IommufdContext context, UserCommand command)
            throws IommufdException {
        command.setInt(
                MOCK_DOMAIN_REPLACE_PT_ID,
                bound(context, command)
                        .replace(command.getInt(MOCK_DOMAIN_REPLACE_PT_ID), NO_PASID));
        command.respond();
    }

    private static void pasid(IommufdContext context, UserCommand command) throws IommufdException {
        Device device = bound(context, command);
        int pasid = command.getInt(PASID_PASID);
        int table = command.getInt(PASID_PT_ID);
        switch (command.getInt(OP)) {
            case OP_PASID_ATTACH -> {
                command.setInt(PASID_PT_ID, device.attach(table, pasid));
                try {
                    command.respond();
                } catch (IommufdException e) {
                    device.detach(pasid);
                    throw e;
                }
            }
            case OP_PASID_REPLACE -> {
                command.setInt(PASID_PT_ID, device.replace(table, pasid));
                command.respond();
            }
            case OP_PASID_DETACH -> device.detach(pasid);
            default -> checkPasid(context, command, mock(device).attached(pasid));
        }
    }

    private static void checkPasid(
            IommufdContext context, UserCommand command, @Nullable HwDomain attached)
            throws IommufdException {
        int id = command.getInt(PASID_PT_ID);
        HwDomain expected =
                switch (context.lookUp(id, IommufdObject.class)) {
                    case PagingHwpt hwpt -> hwpt.domain();
                    case NestedHwpt hwpt -> hwpt.domain();
                    case null, default -> null;
                };
        refuse(id != 0 && expected == null, Errno.ENOENT, "no such page table");
        refuse(
                !Objects.equals(attached, expected),
                Errno.EINVAL,
                "the PASID has another page table");
    }

    private static MockDevice mock(Device device) throws IommufdException {
        if (device.hardware() instanceof MockDevice mock) {
            return mock;
        }
        throw new IommufdException(Errno.EINVAL, "the device is no mock");
    }

    private static TableDomain table(IommufdContext context, UserCommand command)
            throws IommufdException {
        if (find(context, command, ID, PagingHwpt.class).domain() instanceof TableDomain table) {
            return table;
        }
        throw new IommufdException(Errno.EINVAL, "the page table is no mock's");
    }

    // What page tables and pages look like

    private static void checkMap(IommufdContext context, UserCommand command)
            throws IommufdException {
        long iova = command.getLong(CHECK_MAP_IOVA);
        long length = command.getLong(CHECK_MAP_LENGTH);
        long address = command.getLong(CHECK_MAP_UPTR);
        refuse(
                ((iova | length | address) & (PAGE_SIZE - 1)) != 0
                        || Long.compareUnsigned(iova + length, iova) < 0,
                Errno.EINVAL,
                "no whole pages of the mock");
        TableDomain table = table(context, command);
        for (long done = 0; Long.compareUnsigned(done, length) < 0; done += PAGE_SIZE) {
            long inPage = (address + done) & (CPU_PAGE - 1);
            PageRun run = command.caller().memory().pages(address + done - inPage, CPU_PAGE, false);
            refuse(run == null, Errno.EFAULT, "no memory is there");
            long expected = run == null ? -1 : addressOf(context, run);
            refuse(
                    expected < 0 || table.lookUp(iova + done) != expected + inPage,
                    Errno.EINVAL,
                    "0x%x is mapped to another page".formatted(iova + done));
        }
    }

    private static long addressOf(IommufdContext context, PageRun run) {
        return context.node().addressOf(run.source(), run.offset());
    }

    private static void checkRefs(IommufdContext context, UserCommand command)
            throws IommufdException {
        long length = command.getLong(CHECK_REFS_LENGTH);
        long address = command.getLong(CHECK_REFS_UPTR);
        refuse(
                ((length | address) & (CPU_PAGE - 1)) != 0
                        || Long.compareUnsigned(address + length, address) < 0,
                Errno.EINVAL,
                "no whole pages");
        for (long done = 0; Long.compareUnsigned(done, length) < 0; ) {
            PageRun run = command.caller().memory().pages(address + done, length - done, false);
            if (run == null) {
                throw new IommufdException(Errno.EFAULT, "no memory is there");
            }
            for (long at = 0;
                    at < run.length() && Long.compareUnsigned(done, length) < 0;
                    at += CPU_PAGE) {
                int holds = context.node().holds(run.source(), run.offset() + at);
                refuse(
                        holds != command.getInt(CHECK_REFS_REFS),
                        Errno.EIO,
                        "page 0x%x is held %d times".formatted(address + done, holds));
                done += CPU_PAGE;
            }
        }
    }

    private static void dirty(IommufdContext context, UserCommand command) throws IommufdException {
        long iova = command.getLong(DIRTY_IOVA);
        long length = command.getLong(DIRTY_LENGTH);
        long pageSize = command.getLong(DIRTY_PAGE_SIZE);
        long bitmapAt = command.getLong(DIRTY_UPTR);
        refuse(
                length == 0
                        || pageSize == 0
                        || bitmapAt == 0
                        || Long.remainderUnsigned(iova, pageSize) != 0
                        || Long.remainderUnsigned(length, pageSize) != 0,
                Errno.EINVAL,
                "no whole pages");
        long bits = Long.divideUnsigned(length, pageSize);
        refuse(
                Long.compareUnsigned(bits, BITMAP_MAX * Byte.SIZE) > 0,
                Errno.ENOMEM,
                "the bitmap is too large");
        long bytes = (bits + Byte.SIZE - 1) / Byte.SIZE;
        MemorySegment bitmap = Arena.ofAuto().allocate(bytes);
        TableDomain table = table(context, command);
        refuse(!table.isTrackingDirty(), Errno.EINVAL, "nobody wants to know what is written");
        refuse(
                command.caller().read(bitmapAt, bitmap, 0, bytes) != 0,
                Errno.EFAULT,
                "the bitmap cannot be read");
        long marked = 0;
        for (long bit = 0; bit < bits; bit++) {
            if ((bitmap.get(JAVA_BYTE, bit >>> 3) >>> (bit & 7) & 1) != 0
                    && table.write(iova + bit * pageSize)) {
                marked++;
            }
        }
        command.setLong(DIRTY_OUT_NR_DIRTY, marked);
        command.respond();
    }

    private static void checkIotlb(IommufdContext context, UserCommand command)
            throws IommufdException {
        int entry = command.getInt(CHECK_IOTLB_ID);
        NestedHwpt hwpt = find(context, command, ID, NestedHwpt.class);
        refuse(
                Integer.compareUnsigned(entry, IOTLB_NUM) >= 0
                        || !(hwpt.domain() instanceof MockNested nested)
                        || nested.cached(entry) != command.getInt(CHECK_IOTLB_IOTLB),
                Errno.EINVAL,
                "the cache has another entry");
    }

    private static void checkCache(IommufdContext context, UserCommand command)
            throws IommufdException {
        int entry = command.getInt(CHECK_CACHE_ID);
        MockDevice device = mock(find(context, command, ID, Device.class));
        refuse(
                Integer.compareUnsigned(entry, DEV_CACHE_NUM) >= 0
                        || device.cache()[entry] != command.getInt(CHECK_CACHE_CACHE),
                Errno.EINVAL,
                "the cache has another entry");
    }

    // Accesses

    private static MockAccess access(UserCommand command) throws IommufdException {
        OpenFile file = command.caller().served(command.getInt(ID));
        if (file instanceof MockAccess access) {
            return access;
        }
        throw new IommufdException(Errno.EBADF, "the descriptor is no access");
    }

    private static void createAccess(IommufdContext context, UserCommand command)
            throws IommufdException {
        int flags = command.getInt(CREATE_ACCESS_FLAGS);
        refuse((flags & ~ACCESS_CREATE_NEEDS_PIN_PAGES) != 0, Errno.EOPNOTSUPP, "unknown flag");
        Ioas ioas = find(context, command, ID, Ioas.class);
        MockAccess access = new MockAccess(context, flags != 0);
        try {
            access.access().attach(ioas);
            // A descriptor cannot be taken back: whether it can be told is tried first.
            command.respond();
        } catch (IommufdException e) {
            access.release();
            throw e;
        }
        int descriptor = command.caller().install(access, true);
        refuse(descriptor < 0, Errno.EMFILE, "no descriptor is free");
        command.setInt(CREATE_ACCESS_OUT_FD, descriptor);
        command.respond();
    }

    private static void accessPages(IommufdContext context, UserCommand command)
            throws IommufdException {
        int flags = command.getInt(ACCESS_PAGES_FLAGS);
        long iova = command.getLong(ACCESS_PAGES_IOVA);
        long length = command.getLong(ACCESS_PAGES_LENGTH);
        long address = command.getLong(ACCESS_PAGES_UPTR);
        refuse((flags & ~ACCESS_WRITE) != 0, Errno.EOPNOTSUPP, "unknown flag");
        refuse(Long.compareUnsigned(length, ACCESS_MAX) > 0, Errno.ENOMEM, "too many pages");
        refuse(
                length == 0 || Long.compareUnsigned(iova + length - 1, iova) < 0,
                Errno.EINVAL,
                "no such range");
        MockAccess mock = access(command);
        Access access = mock.access();
        long first = iova & -CPU_PAGE;
        long bytes = ((iova + length + CPU_PAGE - 1) & -CPU_PAGE) - first;
        long[] pages = access.pin(first, bytes, flags != 0);
        boolean isKept = false;
        try {
            checkPages(context, command, address & -CPU_PAGE, pages);
            command.setInt(ACCESS_PAGES_OUT_ID, mock.keep(first, bytes));
            isKept = true;
        } finally {
            if (!isKept) {
                access.unpin(first, bytes);
            }
        }
        try {
            command.respond();
        } catch (IommufdException e) {
            mock.drop(command.getInt(ACCESS_PAGES_OUT_ID));
            throw e;
        }
    }

    private static void checkPages(
            IommufdContext context, UserCommand command, long address, long[] pages)
            throws IommufdException {
        for (int i = 0; i < pages.length; i++) {
            PageRun run = command.caller().memory().pages(address + i * CPU_PAGE, CPU_PAGE, false);
            refuse(
                    run == null || addressOf(context, run) != pages[i],
                    Errno.EINVAL,
                    "another page is held");
        }
    }

    private static void accessCopy(UserCommand command) throws IommufdException {
        int flags = command.getInt(ACCESS_RW_FLAGS);
        long length = command.getLong(ACCESS_RW_LENGTH);
        long address = command.getLong(ACCESS_RW_UPTR);
        refuse((flags & ~(RW_WRITE | RW_SLOW_PATH)) != 0, Errno.EOPNOTSUPP, "unknown flag");
        refuse(Long.compareUnsigned(length, ACCESS_MAX) > 0, Errno.ENOMEM, "too many bytes");
        MockAccess access = access(command);
        refuse(length == 0, Errno.EINVAL, "nothing is asked for");
        boolean isWrite = (flags & RW_WRITE) != 0;
        command.caller().failures().allocate();
        MemorySegment buffer = Arena.ofAuto().allocate(length, 8);
        refuse(
                isWrite && command.caller().read(address, buffer, 0, length) != 0,
                Errno.EFAULT,
                "what is to be written cannot be read");
        access.access().copy(command.getLong(ACCESS_RW_IOVA), buffer, isWrite);
        refuse(
                !isWrite && command.caller().write(address, buffer, 0, length) != 0,
                Errno.EFAULT,
                "what was read cannot be written");
    }

    // Events

    private static void triggerPageRequest(IommufdContext context, UserCommand command)
            throws IommufdException {
        Device device = find(context, command, TRIGGER_IOPF_DEV_ID, Device.class);
        int pasid = command.getInt(TRIGGER_IOPF_PASID);
        device.requests()
                .report(
                        PGFAULT_FLAGS_LAST_PAGE
                                | (pasid == NO_PASID ? 0 : PGFAULT_FLAGS_PASID_VALID),
                        pasid,
                        command.getInt(TRIGGER_IOPF_GRPID),
                        command.getInt(TRIGGER_IOPF_PERM),
                        command.getLong(TRIGGER_IOPF_ADDR));
    }

    private static void triggerEvent(IommufdContext context, UserCommand command)
            throws IommufdException {
        Vdevice name =
                mock(find(context, command, TRIGGER_VEVENT_DEV_ID, Device.class)).eventName();
        if (name == null) {
            throw new IommufdException(Errno.ENOENT, "no guest hears of the device");
        }
        Veventq queue = name.viommu().events(VEVENTQ_TYPE_SELFTEST);
        if (queue == null) {
            throw new IommufdException(Errno.EOPNOTSUPP, "the guest has no queue for events");
        }
        command.caller().failures().allocate();
        queue.report(
                ByteBuffer.allocate(Integer.BYTES)
                        .order(ByteOrder.nativeOrder())
                        .putInt((int) name.virtualId())
                        .array());
    }

    // Buffers

    private static long bufferGet(UserCommand command) throws IommufdException {
        long length = Integer.toUnsignedLong(command.getInt(DMABUF_GET_LENGTH));
        refuse(length == 0 || length > BUFFER_MAX, Errno.EINVAL, "no buffer of this length");
        command.caller().failures().allocate();
        RevocableBuffer buffer = new RevocableBuffer(new MockBuffer((int) length), length);
        int descriptor = command.caller().install(new BufferFile(buffer), true);
        refuse(descriptor < 0, Errno.EMFILE, "no descriptor is free");
        return descriptor;
    }

    private static void bufferRevoke(UserCommand command) throws IommufdException {
        OpenFile file = command.caller().served(command.getInt(DMABUF_REVOKE_FD));
        if (!(file instanceof BufferFile buffer)) {
            throw new IommufdException(Errno.EBADF, "the descriptor is no buffer");
        }
        buffer.buffer().revoke(command.getInt(DMABUF_REVOKE_REVOKED) != 0);
    }
}
