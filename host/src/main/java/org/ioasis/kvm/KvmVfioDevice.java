// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kvm;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.iommufd.ProgramFile;
import org.ioasis.spec.KvmVfio;
import org.jspecify.annotations.Nullable;

/**
 * The VFIO pseudo device of a virtual machine: the set of files of VFIO that user space has shown,
 * whose descriptor is the proof that they are its own. Once as typed methods and once as attributes
 * of a KVM device. Any thread; one call at a time, under its lock.
 */
public final class KvmVfioDevice implements AutoCloseable {
    private record Held(OpenFile open, VfioFile file) {}

    private final KvmVm machine;
    private final List<Held> files = new ArrayList<>();
    private boolean isNoncoherent;
    private boolean isClosed;

    KvmVfioDevice(KvmVm machine) {
        this.machine = machine;
    }

    /**
     * A file of VFIO is the machine's: it is held, and told whose it is.
     *
     * @throws IommufdException EINVAL: it is none of VFIO, or there is no VFIO; EEXIST: it is here;
     *     ENOMEM
     */
    public synchronized void add(OpenFile open, FailureInjector failures) throws IommufdException {
        VfioSymbols vfio = isClosed ? null : machine.vfio();
        VfioFile file = vfio == null ? null : vfio.find(open);
        if (file == null) {
            throw new IommufdException(Errno.EINVAL, open.name() + " is no file of VFIO");
        }
        if (find(open) != null) {
            throw new IommufdException(Errno.EEXIST, open.name() + " is the machine's already");
        }
        failures.allocate();
        file.hold();
        files.add(new Held(open, file));
        machine.assigned(1);
        file.machine(machine);
        updateCoherency();
    }

    /**
     * A file is the machine's no longer.
     *
     * @throws IommufdException ENOENT: it is not here
     */
    public synchronized void delete(OpenFile open) throws IommufdException {
        Held held = require(open);
        files.remove(held);
        letGo(held);
        updateCoherency();
    }

    private void letGo(Held held) {
        machine.assigned(-1);
        SpaprSymbols spapr = machine.spapr();
        if (spapr != null) {
            spapr.release(held.file);
        }
        held.file.machine(null);
        held.file.drop();
    }

    /**
     * Ties the tables of a group's IOMMU to a guest's table.
     *
     * @throws IommufdException ENXIO: not a machine of that kind; ENOENT: the group is not here;
     *     what {@link SpaprSymbols#attach} says
     */
    public synchronized void setSpaprTce(OpenFile group, OpenFile guestTable)
            throws IommufdException {
        SpaprSymbols spapr = machine.spapr();
        if (spapr == null) {
            throw new IommufdException(Errno.ENXIO, "the machine has no such tables");
        }
        spapr.attach(guestTable, require(group).file);
    }

    /** One aggregate of all files, told to the machine when it changes and not otherwise. */
    private void updateCoherency() {
        boolean isNow = false;
        for (Held held : files) {
            isNow |= !held.file.enforcesCoherency();
        }
        if (isNow != isNoncoherent) {
            isNoncoherent = isNow;
            machine.noncoherentDma(isNow);
        }
    }

    private @Nullable Held find(OpenFile open) {
        for (Held held : files) {
            if (held.open.equals(open)) {
                return held;
            }
        }
        return null;
    }

    private synchronized Held require(OpenFile open) throws IommufdException {
        Held held = find(open);
        if (held == null) {
            throw new IommufdException(Errno.ENOENT, open.name() + " is not the machine's");
        }
        return held;
    }

    /** Files that are held. */
    public synchronized int files() {
        return files.size();
    }

    /** KVM_HAS_DEVICE_ATTR: 0 or -ENXIO. */
    public int hasAttribute(int group, long attribute) {
        boolean isKnown =
                group == KvmVfio.GROUP_FILE
                        && (attribute == KvmVfio.FILE_ADD
                                || attribute == KvmVfio.FILE_DEL
                                || (attribute == KvmVfio.GROUP_SET_SPAPR_TCE
                                        && machine.spapr() != null));
        return isKnown ? 0 : -Errno.ENXIO.number();
    }

    /**
     * KVM_SET_DEVICE_ATTR.
     *
     * @param address of the attribute's value in the caller's memory
     * @return 0 or a negative errno
     */
    public int setAttribute(Caller caller, int group, long attribute, long address) {
        try {
            if (hasAttribute(group, attribute) != 0) {
                throw new IommufdException(
                        Errno.ENXIO, "no attribute %d of group %d".formatted(attribute, group));
            }
            if (attribute == KvmVfio.FILE_ADD) {
                int descriptor = (int) read(caller, address, Integer.BYTES);
                add(file(caller, descriptor, Errno.EINVAL), caller.failures());
            } else if (attribute == KvmVfio.FILE_DEL) {
                int descriptor = (int) read(caller, address, Integer.BYTES);
                delete(file(caller, descriptor, Errno.ENOENT));
            } else {
                long both = read(caller, address, KvmVfio.SPAPR_TCE_SIZE);
                int groupFd = (int) (both >>> (8 * KvmVfio.SPAPR_TCE_GROUPFD));
                OpenFile of = file(caller, groupFd, Errno.ENOENT);
                require(of);
                int tableFd = (int) (both >>> (8 * KvmVfio.SPAPR_TCE_TABLEFD));
                setSpaprTce(of, file(caller, tableFd, Errno.EINVAL));
            }
            return 0;
        } catch (IommufdException e) {
            caller.refuses(e.rule());
            return -e.errno().number();
        }
    }

    /** Up to eight bytes, the first the lowest. */
    private static long read(Caller caller, long address, int length) throws IommufdException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(Long.BYTES, Long.BYTES);
            if (caller.read(address, value, 0, length) != 0) {
                throw new IommufdException(Errno.EFAULT, "the attribute cannot be read");
            }
            return value.get(JAVA_LONG, 0);
        }
    }

    /**
     * @param other what a file that is none of ours is refused with
     */
    private static OpenFile file(Caller caller, int descriptor, Errno other)
            throws IommufdException {
        OpenFile served = caller.served(descriptor);
        if (served != null) {
            return served;
        }
        try (ProgramFile open = caller.file(descriptor)) {
            throw new IommufdException(
                    open == null ? Errno.EBADF : other,
                    "descriptor %d is no file of VFIO".formatted(descriptor));
        }
    }

    /** All files are let go; works twice as well as once. */
    @Override
    public synchronized void close() {
        if (isClosed) {
            return;
        }
        isClosed = true;
        files.forEach(this::letGo);
        files.clear();
        updateCoherency();
        machine.closed();
    }
}
