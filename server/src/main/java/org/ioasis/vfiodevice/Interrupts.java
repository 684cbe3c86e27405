// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiodevice;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.pci.PciFunction;
import org.ioasis.program.CallerDescriptors;
import org.ioasis.spec.VfioUser;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.jspecify.annotations.Nullable;

/**
 * VFIO_DEVICE_SET_IRQS for a function that has MSI-X and nothing else: an eventfd of the program's
 * for each vector, or none. MSI-X is on from the first vector that is set until all are taken away.
 * Loop thread.
 */
final class Interrupts {
    /** -1 in the place of a descriptor: nobody listens to that vector any more. */
    private static final int NOBODY = -1;

    private static final int ACTIONS =
            VfioUser.VFIO_IRQ_SET_ACTION_MASK
                    | VfioUser.VFIO_IRQ_SET_ACTION_UNMASK
                    | VfioUser.VFIO_IRQ_SET_ACTION_TRIGGER;

    private final PciFunction function;
    private final @Nullable EventFd[] vectors;
    private final MemorySegment header =
            Arena.ofAuto().allocate(VfioUser.IRQ_SET_DATA, Integer.BYTES);
    private final MemorySegment data;
    private boolean isOn;

    Interrupts(PciFunction function) {
        this.function = function;
        vectors = new EventFd[function.vectorCount()];
        data = Arena.ofAuto().allocate(Math.max(1L, vectors.length) * Integer.BYTES, Integer.BYTES);
    }

    /** Vectors of an index. */
    int count(int index) {
        return index == VfioUser.VFIO_PCI_MSIX_IRQ_INDEX ? vectors.length : 0;
    }

    /** Raises a vector; false if nobody listens to it, and nothing happens. */
    boolean trigger(int vector) {
        EventFd listener = vectors[vector];
        if (listener == null) {
            return false;
        }
        listener.signal();
        return true;
    }

    /** Takes all vectors away; twice is fine. */
    void clear() {
        isOn = false;
        for (int vector = 0; vector < vectors.length; vector++) {
            put(vector, null);
        }
    }

    private void put(int vector, @Nullable EventFd listener) {
        EventFd before = vectors[vector];
        vectors[vector] = listener;
        if (before != null) {
            before.close();
        }
    }

    /** The call as a program makes it: everything is checked before anything changes. */
    void set(Caller caller, long argument) throws IommufdException {
        if (caller.read(argument, header, 0, VfioUser.IRQ_SET_DATA) != 0) {
            throw new IommufdException(Errno.EFAULT, "the structure cannot be read");
        }
        long size = Integer.toUnsignedLong(header.get(JAVA_INT, VfioUser.IRQ_SET_ARGSZ));
        int flags = header.get(JAVA_INT, VfioUser.IRQ_SET_FLAGS);
        int index = header.get(JAVA_INT, VfioUser.IRQ_SET_INDEX);
        long start = Integer.toUnsignedLong(header.get(JAVA_INT, VfioUser.IRQ_SET_START));
        long count = Integer.toUnsignedLong(header.get(JAVA_INT, VfioUser.IRQ_SET_COUNT));
        if (size < VfioUser.IRQ_SET_DATA
                || (flags & ~(VfioUser.VFIO_IRQ_SET_DATA_TYPE_MASK | ACTIONS)) != 0) {
            throw invalid("argsz is too small or a flag unknown");
        }
        if (Integer.compareUnsigned(index, VfioUser.VFIO_PCI_NUM_IRQS) >= 0
                || start >= count(index)
                || start + count > count(index)) {
            throw invalid("there are no such vectors");
        }
        int kind = flags & VfioUser.VFIO_IRQ_SET_DATA_TYPE_MASK;
        int width =
                switch (kind) {
                    case VfioUser.VFIO_IRQ_SET_DATA_NONE -> 0;
                    case VfioUser.VFIO_IRQ_SET_DATA_BOOL -> Byte.BYTES;
                    case VfioUser.VFIO_IRQ_SET_DATA_EVENTFD -> Integer.BYTES;
                    default -> throw invalid("one kind of data, and not several");
                };
        if (size - VfioUser.IRQ_SET_DATA < count * width) {
            throw invalid("argsz is too small for the data");
        }
        if (caller.read(argument + VfioUser.IRQ_SET_DATA, data, 0, count * width) != 0) {
            throw new IommufdException(Errno.EFAULT, "the data cannot be read");
        }
        if ((flags & ACTIONS) != VfioUser.VFIO_IRQ_SET_ACTION_TRIGGER) {
            throw new IommufdException(Errno.ENOTTY, "MSI-X vectors are masked in their table");
        }
        change(caller, kind, (int) start, (int) count);
    }

    private void change(Caller caller, int kind, int start, int count) throws IommufdException {
        if (kind == VfioUser.VFIO_IRQ_SET_DATA_EVENTFD) {
            listen(caller, start, count);
        } else if (!isOn) {
            throw invalid("MSI-X is off");
        } else if (kind == VfioUser.VFIO_IRQ_SET_DATA_NONE && count == 0) {
            clear();
        } else {
            for (int i = 0; i < count; i++) {
                if (kind == VfioUser.VFIO_IRQ_SET_DATA_NONE || data.get(JAVA_BYTE, i) != 0) {
                    boolean _ = trigger(start + i);
                }
            }
        }
    }

    /** All of them, or none if one is no eventfd. */
    private void listen(Caller caller, int start, int count) throws IommufdException {
        EventFd[] taken = new EventFd[count];
        boolean areTaken = false;
        try {
            for (int i = 0; i < count; i++) {
                int number = data.get(JAVA_INT_UNALIGNED, (long) i * Integer.BYTES);
                if (number != NOBODY) {
                    taken[i] = event(caller, number);
                }
            }
            areTaken = true;
        } finally {
            if (!areTaken) {
                for (EventFd event : taken) {
                    if (event != null) {
                        event.close();
                    }
                }
            }
        }
        isOn = true;
        for (int i = 0; i < count; i++) {
            put(start + i, taken[i]);
        }
        function.vectorsChanged();
    }

    private static EventFd event(Caller caller, int number) throws IommufdException {
        Fd found =
                caller instanceof CallerDescriptors process && number >= 0
                        ? process.descriptor(number)
                        : null;
        if (found == null) {
            throw new IommufdException(Errno.EBADF, "descriptor %d is not open".formatted(number));
        }
        try {
            return EventFd.shared(found);
        } catch (ErrnoException e) {
            found.close();
            throw invalid("descriptor %d is no eventfd".formatted(number));
        }
    }

    private static IommufdException invalid(String rule) {
        return new IommufdException(Errno.EINVAL, rule);
    }
}
