// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.ioasis.host.IntervalTree;
import org.jspecify.annotations.Nullable;

/**
 * One open {@code /dev/iommu}: its objects, and the devices bound to it. A call holds its lock from
 * start to end, so that no object can go while a call uses it; {@link #lookUp} takes none.
 */
public final class IommufdContext implements OpenFile {
    private static final int PROT_EXEC = 4;
    private static final int MAP_SHARED = 1;
    private static final int MAP_TYPE = 0xf;
    private static final int MAP_SHARED_VALIDATE = 3;

    /** Memory that the program may map. */
    private static final class Opened {
        private final IommufdObject owner;
        private final long length;
        private int mappings;

        Opened(IommufdObject owner, long length) {
            this.owner = owner;
            this.length = length;
        }

        void forgetMappings() {
            for (; mappings > 0; mappings--) {
                owner.removeUser();
            }
        }
    }

    private final IommufdNode node;
    private final ObjectTable objects = new ObjectTable();
    private final Map<HwGroup, DeviceGroup> groups = new HashMap<>();
    private final IntervalTree<Opened> windows = new IntervalTree<>();
    private final FailureInjector unarmed = new FailureInjector();
    private final VfioCompat compat = new VfioCompat();
    private final Ioctls ioctls = new Ioctls(this);
    private FailureInjector failures = unarmed;
    private Accounting accounting = Accounting.USER;
    private final HeldRuns unused = new HeldRuns();
    private final IntervalTree.Gap gap = new IntervalTree.Gap();
    private @Nullable PageBatch batch;
    private int batchLimit;
    private int references = 1;
    private boolean isReleased;

    IommufdContext(IommufdNode node) {
        this.node = node;
    }

    /** What was opened. */
    public IommufdNode node() {
        return node;
    }

    PhysicalMemory memory() {
        return node.memory();
    }

    VfioCompat compat() {
        return compat;
    }

    Accounting accounting() {
        return accounting;
    }

    /** Failure points of whoever calls now. */
    FailureInjector failures() {
        return failures;
    }

    /** A point at which memory is allocated. */
    public void allocate() throws IommufdException {
        failures.allocate();
    }

    PageBatch batch() {
        int limit = node.temporaryMemory();
        if (batch == null || batchLimit != limit) {
            batch = new PageBatch(limit);
            batchLimit = limit;
        }
        return batch;
    }

    /** For pages that a call gives back. */
    HeldRuns unused() {
        return unused;
    }

    // Objects

    /**
     * Gives a new object an id; nobody finds it before {@link #finish}. One that gets none gives
     * back what it has already.
     */
    void reserve(IommufdObject object) throws IommufdException {
        try {
            allocate();
            objects.reserve(object);
        } catch (IommufdException e) {
            object.destroy();
            throw e;
        }
    }

    void finish(IommufdObject object) {
        object.state(IommufdObject.State.LIVE);
    }

    /** Takes back an object that was not built to its end, or whose call failed. */
    void abort(IommufdObject object) {
        objects.remove(object, false);
        object.destroy();
    }

    /** For drivers: an object of their own, live at once. */
    public void add(DriverObject object) throws IommufdException {
        synchronized (this) {
            allocate();
            reserve(object);
            finish(object);
        }
    }

    /** The object with this id. */
    IommufdObject find(int id) throws IommufdException {
        IommufdObject found = objects.find(id);
        if (found == null) {
            throw new IommufdException(Errno.ENOENT, "there is no object " + id);
        }
        return found;
    }

    /** The object with this id, if it is of this kind. */
    <T extends IommufdObject> T find(int id, Class<T> kind) throws IommufdException {
        IommufdObject found = objects.find(id);
        if (!kind.isInstance(found)) {
            throw new IommufdException(
                    Errno.ENOENT, "object %d is no %s".formatted(id, kind.getSimpleName()));
        }
        return kind.cast(found);
    }

    /**
     * The object with this id and kind, for drivers and fast paths: no lock, no allocation. Any
     * thread.
     */
    public <T extends IommufdObject> @Nullable T lookUp(int id, Class<T> kind) {
        IommufdObject found = objects.find(id);
        return kind.isInstance(found) ? kind.cast(found) : null;
    }

    /** Objects that are there. */
    public int objects() {
        synchronized (this) {
            return objects.size();
        }
    }

    /** Destroys what nobody needs: it must be so. */
    void destroy(IommufdObject object) {
        remove(object, false);
    }

    /** Destroys by force, and its id stays nobody's. */
    void bury(IommufdObject object) {
        remove(object, true);
    }

    private void remove(IommufdObject object, boolean leavesTombstone) {
        object.preDestroy();
        if (object.users() != 1) {
            throw new IllegalStateException("object " + object.id() + " is needed by others");
        }
        objects.remove(object, leavesTombstone);
        object.destroy();
    }

    /**
     * Destroys an object as a program asks for it.
     *
     * @throws IommufdException ENOENT; EBUSY: others need it
     */
    public void destroy(int id) throws IommufdException {
        destroy(id, null);
    }

    /** The same for a program, which may have unmapped windows of the object. */
    void destroy(int id, @Nullable Caller caller) throws IommufdException {
        synchronized (this) {
            IommufdObject object = find(id);
            if (caller != null && object.users() != 1) {
                forgetMappings(object, caller);
            }
            if (object.users() != 1) {
                throw new IommufdException(
                        Errno.EBUSY,
                        "object %d is needed by %d others".formatted(id, object.users() - 1));
            }
            destroy(object);
        }
    }

    // The typed face

    /** Makes an empty address space. */
    public Ioas allocateIoas() throws IommufdException {
        synchronized (this) {
            return finished(reserveIoas());
        }
    }

    Ioas reserveIoas() throws IommufdException {
        allocate();
        Ioas ioas = new Ioas(this);
        reserve(ioas);
        return ioas;
    }

    /** A group joins it as its container: it stays, closed or not, until {@link #left}. */
    public void joined() {
        synchronized (this) {
            addReference();
        }
    }

    /** A group that had joined leaves. */
    public void left() {
        synchronized (this) {
            removeReference();
        }
    }

    /**
     * The address space that container calls on this file are about: made when a group joins, if
     * none was chosen.
     */
    public Ioas containerSpace() throws IommufdException {
        synchronized (this) {
            return compat.orMake(this);
        }
    }

    /** Binds a device to this context. */
    public Device bind(HwDevice hardware) throws IommufdException {
        synchronized (this) {
            return Device.bind(this, hardware);
        }
    }

    /**
     * Makes a way for software to reach memory.
     *
     * @param holdsPages whether it will hold pages
     */
    public Access access(Access.User user, boolean holdsPages) throws IommufdException {
        synchronized (this) {
            return Access.create(this, user, holdsPages);
        }
    }

    /** Makes a page table that shows an address space, for devices behind the same IOMMU. */
    public PagingHwpt allocateHwpt(Device device, Ioas ioas, int flags) throws IommufdException {
        synchronized (this) {
            PagingHwpt hwpt = reserveHwpt(device, ioas, flags, null);
            return finished(hwpt);
        }
    }

    PagingHwpt reserveHwpt(Device device, Ioas ioas, int flags, @Nullable UserData data)
            throws IommufdException {
        PagingHwpt hwpt = PagingHwpt.reserve(ioas, device, flags, false, data);
        try {
            hwpt.join();
            return hwpt;
        } catch (IommufdException e) {
            abort(hwpt);
            throw e;
        }
    }

    /** Makes a queue for page requests of devices. */
    public FaultQueue allocateFaultQueue() throws IommufdException {
        synchronized (this) {
            return finished(reserveFaultQueue());
        }
    }

    FaultQueue reserveFaultQueue() throws IommufdException {
        allocate();
        FaultQueue queue = new FaultQueue(this);
        reserve(queue);
        return queue;
    }

    /** Answers page requests whose time is over, where the node has a deadline. */
    public void expirePageRequests() {
        synchronized (this) {
            objects.forEach(object -> {
                if (object instanceof FaultQueue queue) {
                    queue.expire();
                }
            });
        }
    }

    <T extends IommufdObject> T finished(T object) {
        finish(object);
        return object;
    }

    /** Pages that are held from now on are charged to the process, or to its user. */
    void accounting(Accounting mode) throws IommufdException {
        if (objects.size() != 0) {
            throw new IommufdException(
                    Errno.EBUSY, "who is charged is said before anything is there");
        }
        accounting = mode;
    }

    /**
     * All pages of mapped files are charged to another process from now on; refused, and nothing
     * changed, if something else is mapped or that process has not the limits for it.
     */
    public void changeProcess(ProgramMemory process) throws IommufdException {
        synchronized (this) {
            Set<Pages> all = new LinkedHashSet<>();
            objects.forEach(object -> {
                if (object instanceof Ioas ioas) {
                    ioas.space().areas().forEach(area -> all.add(area.pages));
                }
            });
            for (Pages pages : all) {
                if (!pages.origin().isFile()) {
                    throw new IommufdException(
                            Errno.EINVAL, "memory that is no file's stays its process's");
                }
            }
            all.removeIf(pages -> pages.isOf(process));
            List<Pages> done = new ArrayList<>();
            for (Pages pages : all) {
                if (failures.fails() || !pages.chargeAlso(process)) {
                    done.forEach(one -> one.unchargeAlso(process));
                    throw new IommufdException(
                            Errno.ENOMEM, "the limit of locked memory is reached");
                }
                done.add(pages);
            }
            done.forEach(pages -> pages.moveTo(process));
        }
    }

    /** Starts or ends telling what devices write; what was written before is forgotten. */
    public void trackDirty(PagingHwpt hwpt, boolean isEnabled) throws IommufdException {
        synchronized (this) {
            HwPagingDomain domain = hwpt.domain();
            if (!domain.tracksDirty()) {
                throw new IommufdException(
                        Errno.EOPNOTSUPP, "the page table was not made to tell what is written");
            }
            if (isEnabled) {
                for (Area area : hwpt.ioas().space().areas()) {
                    domain.dirty(area.first, area.last, true, (_, _) -> {});
                }
            }
            domain.trackDirty(isEnabled);
        }
    }

    /**
     * Refuses to read what was written in a range, or nothing.
     *
     * @return the last IOVA that is read, or {@code iova - 1}: none
     */
    long checkDirty(PagingHwpt hwpt, long iova, long length, long pageSize)
            throws IommufdException {
        long last = iova + length - 1;
        if (length == 0) {
            throw new IommufdException(Errno.EINVAL, "nothing is asked for");
        }
        if (Long.compareUnsigned(last, iova) < 0) {
            throw new IommufdException(Errno.EOVERFLOW, "the range goes past the last IOVA");
        }
        long alignment = hwpt.ioas().space().alignment();
        if (pageSize == 0
                || Long.bitCount(pageSize) != 1
                || ((iova | length) & (alignment - 1 | pageSize - 1)) != 0) {
            throw new IommufdException(
                    Errno.EINVAL,
                    "range and page size must be multiples of 0x%x".formatted(alignment));
        }
        if (!hwpt.domain().tracksDirty() || !hwpt.domain().isTrackingDirty()) {
            throw new IommufdException(
                    Errno.EINVAL, "the page table does not tell what is written");
        }
        long mapped = hwpt.ioas().space().contiguousLast(iova, last);
        if (mapped != last && !node.hasKernelQuirks()) {
            throw new IommufdException(
                    Errno.EINVAL, "IOVA 0x%x is not mapped".formatted(mapped + 1));
        }
        // Q3: Linux stops at the hole, and does not say so.
        return mapped;
    }

    // Devices

    DeviceGroup group(HwGroup group) {
        return groups.computeIfAbsent(group, _ -> new DeviceGroup());
    }

    void forget(HwGroup group) {
        groups.remove(group);
    }

    void forgetCompat(Ioas ioas) {
        compat.forget(ioas);
    }

    // The file

    @Override
    public Form form() {
        return Form.DEVICE;
    }

    @Override
    public String name() {
        return "/dev/iommu";
    }

    @Override
    public long ioctl(Caller caller, int command, long argument) {
        synchronized (this) {
            failures = caller.failures();
            try {
                return ioctls.run(caller, command, argument);
            } catch (IommufdException e) {
                caller.refuses(e.rule());
                return -e.errno().number();
            } finally {
                failures = unarmed;
            }
        }
    }

    /** What a driver does of its own in a call of a program's. */
    public interface Body {
        /** Its result. */
        long run() throws IommufdException;
    }

    /**
     * Does something under the lock, and with the points of failure of the program that asks for
     * it: for files of drivers whose calls end in this context.
     */
    public long calling(Caller caller, Body body) throws IommufdException {
        synchronized (this) {
            FailureInjector before = failures;
            failures = caller.failures();
            try {
                return body.run();
            } finally {
                failures = before;
            }
        }
    }

    long addWindow(IommufdObject owner, long length) throws IommufdException {
        allocate();
        windows.gap(PhysicalMemory.PAGE, length, gap);
        long offset = gap.first();
        windows.insert(offset, offset + length - 1, new Opened(owner, length));
        return offset;
    }

    void removeWindow(long offset) {
        int node = windows.overlapping(offset, offset);
        if (node != IntervalTree.NONE) {
            windows.remove(offset, windows.value(node));
        }
    }

    /** Mappings of an object's windows that are there no more are no users any more. */
    @SuppressWarnings("ReferenceEquality") // the very object
    private void forgetMappings(IommufdObject owner, Caller caller) {
        windows.forEach(node -> {
            Opened window = windows.value(node);
            if (window.owner == owner
                    && window.mappings > 0
                    && !caller.hasMapped(this, windows.first(node), window.length)) {
                window.forgetMappings();
            }
        });
    }

    @Override
    public long map(long offset, long length, int protection, int flags) {
        synchronized (this) {
            int type = flags & MAP_TYPE;
            if (type != MAP_SHARED && type != MAP_SHARED_VALIDATE) {
                return -Errno.EINVAL.number();
            }
            if ((protection & PROT_EXEC) != 0) {
                return -Errno.EPERM.number();
            }
            int node = windows.overlapping(offset, offset);
            if (node == IntervalTree.NONE
                    || windows.first(node) != offset
                    || windows.value(node).length != length) {
                return -Errno.ENXIO.number();
            }
            Opened window = windows.value(node);
            window.mappings++;
            window.owner.addUser();
            return 0;
        }
    }

    /** A file of one of its objects is open, or a driver has not let go of it. */
    void addReference() {
        references++;
    }

    void removeReference() {
        if (--references == 0) {
            end();
        }
    }

    @Override
    public void release() {
        synchronized (this) {
            if (isReleased) {
                return;
            }
            isReleased = true;
            // Mappings have kept the file open: there are none.
            windows.forEach(node -> windows.value(node).forgetMappings());
            removeReference();
        }
    }

    /** Destroys all objects, each after those that need it. */
    private void end() {
        while (objects.size() > 0) {
            int before = objects.size();
            // Who needs others was mostly made after them: one pass, or a few.
            objects.forEachDown(object -> {
                if (object.users() == 1) {
                    destroy(object);
                }
            });
            if (objects.size() == before) {
                throw new IllegalStateException(before + " objects of a context need each other");
            }
        }
        node.closed();
    }
}
