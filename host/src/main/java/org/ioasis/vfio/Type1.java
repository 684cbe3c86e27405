// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import static org.ioasis.spec.VfioType1.MAP_FLAG_READ;
import static org.ioasis.spec.VfioType1.MAP_FLAG_VADDR;
import static org.ioasis.spec.VfioType1.MAP_FLAG_WRITE;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.host.IntervalTree;
import org.ioasis.iommufd.Access;
import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.Ioas;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.Owner;
import org.ioasis.iommufd.Type1Info;
import org.ioasis.spec.Iommufd;
import org.ioasis.vfio.tracker.PinTracker;
import org.jspecify.annotations.Nullable;

/**
 * The IOMMU of type 1 of a container (drivers/vfio/vfio_iommu_type1.c of Linux): which IOVAs show
 * which memory, for groups behind IOMMUs and for mediated devices. Under all of it is one address
 * space of iommufd, which knows of page tables and of pages that software holds, and charges each
 * page once, whoever holds it; so nothing here asks which kind of group there is before it maps.
 *
 * <p>Any thread; each call takes the lock of its context.
 */
public final class Type1 implements ContainerDriver {
    /** Mappings that a container takes, unless told otherwise. */
    public static final int MAPPINGS_MAX = 65535;

    /** How often mediated devices are asked to let go of one mapping. */
    static final int UNMAP_TRIES = 10;

    /** What a container knows of a group. */
    static final class Attached {
        private final IommuGroups.@Nullable Member hardware;

        /** It writes only what it has pinned, so that what is pinned tells what is dirty. */
        private boolean hasPinnedScope;

        Attached(IommuGroups.@Nullable Member hardware) {
            this.hardware = hardware;
            hasPinnedScope = hardware == null;
        }
    }

    private final boolean isVersion2;
    private final int mappingsMax;
    private final IommufdContext context;
    private final Ioas ioas;
    private final Access access;
    private final IommuGroups iommus;
    private final IntervalTree<Mapping> mappings = new IntervalTree<>();
    private final Map<VfioGroup, Attached> groups = new LinkedHashMap<>();
    private final List<MediatedDevice> devices = new ArrayList<>();
    private int invalidAddresses;
    private final DirtyTracking tracking;
    private boolean isClosed;

    /**
     * @param isVersion2 as TYPE1v2_IOMMU: a mapping is never cut; otherwise as TYPE1_IOMMU
     * @param mappingsMax how many mappings it takes
     */
    public Type1(IommufdNode node, boolean isVersion2, int mappingsMax) {
        this.isVersion2 = isVersion2;
        this.mappingsMax = mappingsMax;
        context = node.openContext();
        try {
            ioas = context.allocateIoas();
            // Nothing is held when the address space unmaps: it is asked for before, mapping by
            // mapping.
            access = context.access((_, _) -> {}, true);
            access.attach(ioas);
        } catch (IommufdException e) {
            // It has room for both, and nobody has asked for a failure.
            throw new IllegalStateException("a fresh context has no room for a container", e);
        }
        iommus = new IommuGroups(context, ioas);
        tracking = new DirtyTracking(context, mappings);
    }

    IommufdContext context() {
        return context;
    }

    boolean isVersion2() {
        return isVersion2;
    }

    @Override
    public long calling(Caller caller, IommufdContext.Body body) throws IommufdException {
        return context.calling(caller, body);
    }

    // What it says of itself

    /** Mappings that are there. */
    public int mappings() {
        synchronized (context) {
            return mappings.size();
        }
    }

    /** The page that all IOMMUs have, in bytes: what ranges are multiples of. */
    public long pageSize() {
        return Long.lowestOneBit(ioas.pageSizes());
    }

    /** Whether the DMA of all groups is coherent, whatever they ask for. */
    public boolean isCoherent() {
        return ioas.enforcesCoherency();
    }

    /** Whether addresses of mappings can be made void: mediated devices would go on using them. */
    public boolean updatesAddresses() {
        synchronized (context) {
            return !hasMediatedGroups();
        }
    }

    /** As GET_INFO answers. */
    public Type1Info info() {
        synchronized (context) {
            Type1Info info = new Type1Info(ioas.pageSizes());
            info.addMigration(pageSize(), DirtyPages.BITS_MAX / Byte.SIZE);
            info.addAvailable(mappingsMax - mappings.size());
            if (!iommus.isEmpty()) {
                info.addRanges(ioas.usable());
            }
            return info;
        }
    }

    // Mapping

    private static IommufdException refused(Errno errno, String rule) {
        return new IommufdException(errno, rule);
    }

    private long checkRange(long iova, long length) throws IommufdException {
        if (length == 0 || ((iova | length) & (pageSize() - 1)) != 0) {
            throw refused(Errno.EINVAL, "a range is whole pages, and at least one");
        }
        long last = iova + length - 1;
        if (Long.compareUnsigned(last, iova) < 0) {
            throw refused(Errno.EOVERFLOW, "the range goes past the last IOVA");
        }
        return last;
    }

    /**
     * Maps memory, or with MAP_FLAG_VADDR says where the memory of a mapping is now.
     *
     * @param flags MAP_FLAG_ of the specification
     */
    public void map(Owner owner, long address, long iova, long length, int flags)
            throws IommufdException {
        synchronized (context) {
            boolean isReadable = (flags & MAP_FLAG_READ) != 0;
            boolean isWritable = (flags & MAP_FLAG_WRITE) != 0;
            boolean setsAddress = (flags & MAP_FLAG_VADDR) != 0;
            if ((isReadable || isWritable) == setsAddress
                    || (flags & ~(MAP_FLAG_READ | MAP_FLAG_WRITE | MAP_FLAG_VADDR)) != 0) {
                throw refused(
                        Errno.EINVAL, "a mapping is readable, writable or both, or a new address");
            }
            long last = checkRange(iova, length);
            if ((address & (pageSize() - 1)) != 0) {
                throw refused(Errno.EINVAL, "the address is that of a page");
            }
            if (Long.compareUnsigned(address + length - 1, address) < 0) {
                throw refused(Errno.EOVERFLOW, "the memory goes past the last address");
            }
            int found = mappings.overlapping(iova, last);
            if (setsAddress) {
                setAddress(found, owner, address, iova, length);
                return;
            }
            if (found != IntervalTree.NONE) {
                throw refused(Errno.EEXIST, "something is mapped there");
            }
            if (mappings.size() == mappingsMax) {
                throw refused(Errno.ENOSPC, "the container has as many mappings as it may");
            }
            Mapping fresh = new Mapping(iova, last, isReadable, isWritable, owner);
            tracking.add(fresh);
            int rights =
                    (isReadable ? Iommufd.MAP_READABLE : 0)
                            | (isWritable ? Iommufd.MAP_WRITEABLE : 0);
            try {
                ioas.mapWithDevices(owner, address, length, rights, iova);
            } catch (IommufdException e) {
                tracking.remove(fresh);
                throw e;
            }
            mappings.insert(iova, last, fresh);
        }
    }

    private void setAddress(int found, Owner owner, long address, long iova, long length)
            throws IommufdException {
        if (found == IntervalTree.NONE) {
            throw refused(Errno.ENOENT, "nothing is mapped there");
        }
        Mapping mapping = mappings.value(found);
        if (!mapping.isAddressInvalid || mapping.first != iova || mapping.length() != length) {
            throw refused(Errno.EINVAL, "no mapping is exactly there whose address was void");
        }
        ioas.moveCompat(owner, address, length, iova);
        mapping.owner = owner;
        mapping.isAddressInvalid = false;
        invalidAddresses--;
    }

    // Unmapping

    /**
     * Unmaps the mappings of a range: in version 2 whole ones, in version 1 those whose first byte
     * is in the range, up to one that begins before it.
     *
     * @param dirty told which pages were written, or null
     * @return bytes unmapped; all 2^64 are told as 2^64-1
     * @throws IommufdException EINVAL: a mapping would be cut (version 2); EDEADLK: a mediated
     *     device does not let go; nothing is unmapped
     */
    public long unmap(long iova, long length, @Nullable Bitmap dirty) throws IommufdException {
        synchronized (context) {
            long last = checkRange(iova, length);
            if (dirty != null) {
                tracking.requireOn();
            }
            List<Mapping> leaving = inside(iova, last);
            release(leaving);
            if (dirty != null) {
                boolean isAll = writesAnywhere();
                for (Mapping mapping : leaving) {
                    tracking.tell(mapping, iova, isAll, dirty);
                }
            }
            return remove(leaving);
        }
    }

    /** As {@link #unmap}, all that there is, which may be nothing. */
    public long unmapAll() throws IommufdException {
        synchronized (context) {
            List<Mapping> leaving = mappings.values(0, -1);
            release(leaving);
            return remove(leaving);
        }
    }

    /**
     * Makes the addresses of the mappings of a range void: their pages stay pinned, and devices
     * behind IOMMUs go on.
     *
     * @return bytes
     */
    public long invalidate(long iova, long length) throws IommufdException {
        synchronized (context) {
            return invalidate(inside(iova, checkRange(iova, length)));
        }
    }

    /** As {@link #invalidate}, of all mappings. */
    public long invalidateAll() throws IommufdException {
        synchronized (context) {
            return invalidate(mappings.values(0, -1));
        }
    }

    private long invalidate(List<Mapping> some) throws IommufdException {
        if (hasMediatedGroups()) {
            throw refused(Errno.EBUSY, "mediated devices use the addresses");
        }
        for (Mapping mapping : some) {
            if (mapping.isAddressInvalid) {
                throw refused(Errno.EINVAL, "an address of the range is void already");
            }
        }
        for (Mapping mapping : some) {
            mapping.isAddressInvalid = true;
            invalidAddresses++;
        }
        return bytes(some);
    }

    /** The mappings that a range takes. */
    private List<Mapping> inside(long iova, long last) throws IommufdException {
        List<Mapping> found = mappings.values(iova, last);
        boolean cutsFirst =
                !found.isEmpty() && Long.compareUnsigned(found.getFirst().first, iova) < 0;
        if (isVersion2) {
            if (cutsFirst
                    || (!found.isEmpty() && Long.compareUnsigned(found.getLast().last, last) > 0)) {
                throw refused(Errno.EINVAL, "the range cuts a mapping");
            }
            return found;
        }
        // Version 1 once joined what lay side by side, and programs ask how much is gone.
        return cutsFirst ? List.of() : found;
    }

    /** Mediated devices let go of what they have pinned, also while others are asked. */
    private void release(List<Mapping> leaving) throws IommufdException {
        boolean isHeld = true;
        for (int tries = 0; isHeld; tries++) {
            isHeld = false;
            for (Mapping mapping : leaving) {
                if (mapping.pins.pinned() > 0) {
                    if (tries == UNMAP_TRIES) {
                        throw refused(
                                Errno.EDEADLK, "a mediated device does not let go of its pages");
                    }
                    isHeld = true;
                    for (MediatedDevice device : List.copyOf(devices)) {
                        device.unmapped(mapping.first, mapping.length());
                    }
                }
            }
        }
    }

    private long remove(List<Mapping> leaving) throws IommufdException {
        for (Mapping mapping : leaving) {
            ioas.unmap(mapping.first, mapping.length());
            mappings.remove(mapping.first, mapping);
            tracking.remove(mapping);
            if (mapping.isAddressInvalid) {
                invalidAddresses--;
            }
        }
        return bytes(leaving);
    }

    /** All 2^64 do not fit into the answer: they are told as 2^64-1. */
    private static long bytes(List<Mapping> some) {
        long bytes = 0;
        for (Mapping mapping : some) {
            bytes += mapping.length();
        }
        return bytes == 0 && !some.isEmpty() ? -1 : bytes;
    }

    // Dirty pages

    private void requireVersion2() throws IommufdException {
        if (!isVersion2) {
            throw refused(Errno.EACCES, "version 1 has no such call");
        }
    }

    /** Whether somebody wants to know what is written. */
    boolean isTracking() {
        synchronized (context) {
            return tracking.isOn();
        }
    }

    /** Bytes of bitmaps. */
    public long dirtyBytes() {
        synchronized (context) {
            return tracking.bytes();
        }
    }

    /** Starts telling what is written, or goes on; what is pinned counts as written. */
    public void startDirty() throws IommufdException {
        synchronized (context) {
            requireVersion2();
            tracking.start();
        }
    }

    /** Ends it. */
    public void stopDirty() throws IommufdException {
        synchronized (context) {
            requireVersion2();
            tracking.stop();
        }
    }

    /** Tells what was written in a range, which cuts no mapping; and begins anew. */
    public void dirty(long iova, long length, Bitmap into) throws IommufdException {
        synchronized (context) {
            requireVersion2();
            tracking.requireOn();
            if (Long.compareUnsigned(iova + length - 1, iova) < 0) {
                // Not EOVERFLOW here, other than for a mapping.
                throw refused(Errno.EINVAL, "the range goes past the last IOVA");
            }
            long last = checkRange(iova, length);
            boolean isAll = writesAnywhere();
            for (Mapping mapping : inside(iova, last)) {
                tracking.tell(mapping, iova, isAll, into).restart(mapping.pins);
            }
        }
    }

    /** Whether some group may have written what it has not pinned. */
    private boolean writesAnywhere() {
        return groups.values().stream().anyMatch(group -> !group.hasPinnedScope);
    }

    // Groups

    private boolean hasMediatedGroups() {
        return groups.values().stream().anyMatch(group -> group.hardware == null);
    }

    @Override
    public void attach(VfioGroup group) throws IommufdException {
        synchronized (context) {
            if (groups.containsKey(group)) {
                throw refused(Errno.EINVAL, "the group is attached already");
            }
            if (invalidAddresses > 0) {
                throw refused(Errno.EBUSY, "an address is void: nothing can be pinned again");
            }
            context.allocate();
            groups.put(group, new Attached(group.isMediated() ? null : iommus.attach(group)));
        }
    }

    @Override
    public void detach(VfioGroup group) {
        synchronized (context) {
            Attached gone = groups.remove(group);
            if (gone == null) {
                return;
            }
            if (groups.isEmpty()) {
                end();
            }
            if (gone.hardware != null) {
                if (!gone.hasPinnedScope) {
                    tracking.markAll();
                }
                iommus.detach(gone.hardware);
            }
        }
    }

    /** Nobody reaches anything any more. */
    private void end() {
        try {
            unmapAll();
        } catch (IommufdException e) {
            throw new IllegalStateException("a device of a group that is gone holds pages", e);
        }
    }

    // Mediated devices

    /**
     * A device of a group that this container has is opened.
     *
     * @param user what it owes when memory goes; null: it never pins
     */
    public MediatedDevice open(VfioGroup group, MediatedDevice.@Nullable User user)
            throws IommufdException {
        synchronized (context) {
            Attached of = groups.get(group);
            if (of == null) {
                throw refused(Errno.EINVAL, "the device's group is not attached");
            }
            context.allocate();
            MediatedDevice device = new MediatedDevice(this, of, user);
            devices.add(device);
            return device;
        }
    }

    void close(MediatedDevice device) {
        devices.remove(device);
    }

    /** Whether somebody owes to let go. */
    boolean hasUsers() {
        return devices.stream().anyMatch(MediatedDevice::hasUser);
    }

    /** Memory that mediated devices reach: all addresses are good. */
    void requireAddresses() throws IommufdException {
        if (invalidAddresses > 0) {
            throw refused(Errno.EBUSY, "an address of a mapping is void");
        }
    }

    /** The mapping of an IOVA. */
    Mapping mapping(long iova) throws IommufdException {
        int found = mappings.overlapping(iova, iova);
        if (found == IntervalTree.NONE) {
            throw refused(Errno.EINVAL, "IOVA 0x%x is not mapped".formatted(iova));
        }
        return mappings.value(found);
    }

    @Nullable Mapping mappingOrNull(long iova) {
        int found = mappings.overlapping(iova, iova);
        return found == IntervalTree.NONE ? null : mappings.value(found);
    }

    /** Holds a page, wherever it is held besides. */
    long hold(long iova, boolean isWrite) throws IommufdException {
        return access.pin(iova, PinTracker.PAGE, isWrite)[0];
    }

    void letGo(long iova) {
        access.unpin(iova, PinTracker.PAGE);
    }

    void copy(long iova, MemorySegment buffer, boolean isWrite) throws IommufdException {
        access.copy(iova, buffer, isWrite);
    }

    /** The group of a device has pinned: it writes only where it does. */
    static void narrow(Attached group) {
        group.hasPinnedScope = true;
    }

    @Override
    public long ioctl(Caller caller, int command, long argument) throws IommufdException {
        return Type1Calls.ioctl(this, caller, command, argument);
    }

    @Override
    public long extension(int number) {
        return Type1Calls.extension(this, number);
    }

    /** No group is attached any more: gives back all it has. */
    @Override
    public void close() {
        synchronized (context) {
            if (!isClosed) {
                if (!groups.isEmpty()) {
                    throw new IllegalStateException(groups.size() + " groups are attached");
                }
                isClosed = true;
                end();
                access.close();
                context.release();
            }
        }
    }
}
