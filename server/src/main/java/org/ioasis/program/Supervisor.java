// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.spec.KvmVfio;
import org.ioasis.sys.CallFilter;
import org.ioasis.sys.CallListener;
import org.ioasis.sys.CloseWatch;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.LinuxCall;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.TaskFiles;
import org.jspecify.annotations.Nullable;

/**
 * Answers the system calls of one program and of all that it starts, from the first until the last
 * of them has ended, on one thread: its own, or that of a loop which serves the program's devices
 * too. What is not about a file of ours goes on to the kernel.
 *
 * <p>Everything that the program says is looked at once and judged by what was read. It can change
 * its memory meanwhile, close the descriptor, or be killed: then an answer goes nowhere.
 */
final class Supervisor implements AutoCloseable {
    private static final int AT_FDCWD = -100;
    private static final int AT_EMPTY_PATH = 0x1000;
    private static final int AT_SYMLINK_NOFOLLOW = 0x100;
    private static final int O_CLOEXEC = 0x80000;
    private static final int O_DIRECTORY = 0x10000;
    private static final int O_PATH = 0x200000;
    private static final int O_CREAT = 0x40;
    private static final int O_EXCL = 0x80;
    private static final int F_DUPFD = 0;
    private static final int F_DUPFD_CLOEXEC = 1030;

    /** ioctl commands of type ';', which iommufd and VFIO share. */
    private static final int TYPE_MASK = 0xff00;

    private static final int TYPE = 0x3b00;

    /** UIO_MAXIOV (linux/uio.h). */
    private static final int VECTORS_MAX = 1024;

    private static final int SIZEOF_IOVEC = 16;

    private static final long LISTENER = 1;
    private static final long CLOSINGS = 2;

    private final CallListener call;
    private final Devices devices;
    private final CallTrace trace;
    private final Epoll epoll;
    private final CloseWatch closings;
    private final StandIns standIns;
    private final AddressSpaces spaces;
    private final FailNth failNth = new FailNth();
    private final TaskCaller caller;
    private final DevicePaths paths = new DevicePaths();
    private final FileStatuses statuses = new FileStatuses();
    private final MemorySegment vectors =
            Arena.ofAuto().allocate((long) VECTORS_MAX * SIZEOF_IOVEC, 8);

    /** Takes ownership of the listener. */
    Supervisor(CallListener call, Devices devices, CallTrace trace) throws ErrnoException {
        this.call = call;
        this.devices = devices;
        this.trace = trace;
        Epoll opened = null;
        try {
            opened = Epoll.create();
            closings = CloseWatch.create();
            opened.add(call.fd(), Epoll.IN, LISTENER);
            opened.add(closings.fd(), Epoll.IN, CLOSINGS);
        } catch (ErrnoException e) {
            if (opened != null) {
                opened.close();
            }
            call.close();
            throw e;
        }
        epoll = opened;
        TaskFiles files = new TaskFiles();
        standIns = new StandIns(closings, files, trace);
        spaces = new AddressSpaces(files, standIns, devices.isForTests());
        caller = new TaskCaller(call, standIns, spaces, failNth, devices.isForTests());
    }

    /** The calls that have to come. Everything else costs the program nothing. */
    static CallFilter filter() {
        CallFilter.Builder calls =
                CallFilter.builder()
                        .maskedOr(LinuxCall.IOCTL, 1, TYPE_MASK, TYPE, KvmVfio.SET_DEVICE_ATTR)
                        .inRange(LinuxCall.MMAP, 4, StandIns.FIRST, StandIns.LAST);
        for (int named :
                new int[] {
                    LinuxCall.OPEN,
                    LinuxCall.OPENAT,
                    LinuxCall.OPENAT2,
                    LinuxCall.STAT,
                    LinuxCall.LSTAT,
                    LinuxCall.NEWFSTATAT,
                    LinuxCall.STATX,
                    LinuxCall.ACCESS,
                    LinuxCall.FACCESSAT,
                    LinuxCall.FACCESSAT2,
                    LinuxCall.READLINK,
                    LinuxCall.READLINKAT
                }) {
            calls.always(named);
        }
        for (int numbered :
                new int[] {
                    LinuxCall.READ,
                    LinuxCall.WRITE,
                    LinuxCall.PREAD64,
                    LinuxCall.PWRITE64,
                    LinuxCall.READV,
                    LinuxCall.WRITEV,
                    LinuxCall.DUP,
                    LinuxCall.FCNTL,
                    LinuxCall.FSTAT
                }) {
            calls.inRange(numbered, 0, StandIns.FIRST, StandIns.LAST);
        }
        return calls.build();
    }

    /** Serves until the last task under the filter has ended. */
    void run() {
        while (turn(-1)) {
            // Until the end.
        }
    }

    /** Ready for reading when there is something to serve, for a loop that serves others too. */
    int fd() {
        return epoll.fd();
    }

    /**
     * Serves what there is.
     *
     * @param timeoutMillis how long to wait for something; -1: without end
     * @return false: the last task under the filter has ended
     */
    boolean turn(int timeoutMillis) {
        int ready = epoll.await(timeoutMillis);
        for (int i = 0; i < ready; i++) {
            if (epoll.token(i) == CLOSINGS) {
                standIns.drain();
            } else {
                // The end: no call can come any more. Last closes may still be under way, but
                // nobody is left who could tell.
                if ((epoll.events(i) & Epoll.HUP) != 0) {
                    return false;
                }
                if (call.receive()) {
                    serve();
                }
            }
        }
        return true;
    }

    /** Releases what the program has left open. */
    @Override
    public void close() {
        // Whatever goes wrong in one of these, the others are released too.
        try (call;
                epoll;
                closings) {
            try (spaces;
                    standIns) {
                // Last first: files, then the memory that they held.
            } finally {
                devices.close();
            }
        }
    }

    /** Whatever goes wrong here is the end of this call and of nothing else. */
    private void serve() {
        // Before the call is looked at, so that what the program has closed before is closed.
        standIns.drain();
        spaces.ranges().open();
        try {
            dispatch();
            standIns.showEvents();
            // Of memory that was cut short: this call's, and not its supervisor's end.
            Mapping.raiseLate();
        } catch (RuntimeException | VirtualMachineError e) {
            // The latter: memory that the program shares with us was cut short under us, or it has
            // asked for more than we have.
            System.err.println("ioasis: call " + call.number() + " of " + call.thread());
            e.printStackTrace();
            if (!call.isAnswered()) {
                trace.failed(call.thread(), call.number());
                call.answer(-Errno.EIO);
            }
        } finally {
            spaces.ranges().close();
        }
    }

    private void dispatch() {
        switch (call.number()) {
            case LinuxCall.OPEN -> open(AT_FDCWD, call.argument(0), call.argument(1));
            case LinuxCall.OPENAT -> open(at(0), call.argument(1), call.argument(2));
            case LinuxCall.OPENAT2 -> open(at(0), call.argument(1), openHow());
            case LinuxCall.STAT -> stat(AT_FDCWD, call.argument(0), 0, call.argument(1));
            case LinuxCall.LSTAT ->
                    stat(AT_FDCWD, call.argument(0), AT_SYMLINK_NOFOLLOW, call.argument(1));
            case LinuxCall.NEWFSTATAT ->
                    stat(at(0), call.argument(1), call.argument(3), call.argument(2));
            case LinuxCall.FSTAT -> statFile();
            case LinuxCall.STATX -> statx();
            case LinuxCall.ACCESS -> access(AT_FDCWD, call.argument(0), call.argument(1));
            case LinuxCall.FACCESSAT, LinuxCall.FACCESSAT2 ->
                    access(at(0), call.argument(1), call.argument(2));
            case LinuxCall.READLINK ->
                    readLink(AT_FDCWD, call.argument(0), call.argument(1), call.argument(2));
            case LinuxCall.READLINKAT ->
                    readLink(at(0), call.argument(1), call.argument(2), call.argument(3));
            case LinuxCall.IOCTL -> ioctl();
            case LinuxCall.READ -> transfer(false);
            case LinuxCall.WRITE -> transfer(true);
            case LinuxCall.PREAD64 -> transferAt(false);
            case LinuxCall.PWRITE64 -> transferAt(true);
            case LinuxCall.READV -> transferVector(false);
            case LinuxCall.WRITEV -> transferVector(true);
            case LinuxCall.MMAP -> map();
            case LinuxCall.DUP -> duplicate(0, false);
            case LinuxCall.FCNTL -> fcntl();
            default -> call.proceed();
        }
    }

    /** A descriptor is an int, whatever is in the upper half of the register. */
    private int at(int argument) {
        return (int) call.argument(argument);
    }

    private void open(int folder, long address, long flags) {
        String path = paths.of(caller, folder, address, Devices.LAST_PART);
        if (path == null || (flags & O_PATH) != 0 || !devices.knows(path)) {
            call.proceed();
            return;
        }
        int result;
        if (PathStatus.NOTHING.equals(devices.status(path, true))) {
            result = -Errno.ENOENT;
        } else if ((flags & O_DIRECTORY) != 0 && !devices.isFolder(path)) {
            result = -Errno.ENOTDIR;
        } else if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
            result = -Errno.EEXIST;
        } else if (!caller.isWaiting()) {
            return;
        } else {
            // What it shares with a process that ends is reached through it then.
            caller.memory();
            failNth.begins(caller.thread());
            result = devices.open(caller, path, (flags & O_CLOEXEC) != 0);
            failNth.ends(caller.thread());
        }
        trace.opened(caller.thread(), path, result);
        if (!call.isAnswered()) {
            if (result == Devices.KERNEL_HAS_IT) {
                call.proceed();
            } else {
                call.answer(result);
            }
        }
    }

    /** struct open_how: flags are the first of its fields. */
    private long openHow() {
        return caller.read(call.argument(2), vectors, 0, Long.BYTES) == 0
                ? vectors.get(JAVA_LONG, 0)
                : 0;
    }

    private void stat(int folder, long address, long flags, long buffer) {
        PathStatus found = statusOf(folder, address, flags);
        if (found == null) {
            call.proceed();
        } else {
            call.answer(found.isThere() ? statuses.stat(caller, found, buffer) : -Errno.ENOENT);
        }
    }

    private void statx() {
        PathStatus found = statusOf(at(0), call.argument(1), call.argument(2));
        if (found == null) {
            call.proceed();
        } else {
            call.answer(
                    found.isThere()
                            ? statuses.statx(caller, found, call.argument(4))
                            : -Errno.ENOENT);
        }
    }

    private void statFile() {
        OpenFile file = fileOf(0);
        if (file != null && file.form() == OpenFile.Form.DEVICE) {
            call.answer(statuses.stat(caller, devices.statusOfOpen(file.name()), call.argument(1)));
        } else {
            call.proceed();
        }
    }

    private void access(int folder, long address, long mode) {
        PathStatus found = statusOf(folder, address, 0);
        if (found == null) {
            call.proceed();
        } else if (!found.isThere()) {
            call.answer(-Errno.ENOENT);
        } else {
            call.answer((mode & ~found.accessMode()) == 0 ? 0 : -Errno.EACCES);
        }
    }

    private void readLink(int folder, long address, long buffer, long size) {
        String path = paths.of(caller, folder, address, Devices.LAST_PART);
        PathStatus found = path == null ? null : devices.status(path, false);
        if (path == null || found == null) {
            call.proceed();
        } else if (!found.isThere()) {
            call.answer(-Errno.ENOENT);
        } else {
            byte[] target = devices.linkAt(path);
            call.answer(target == null ? -Errno.EINVAL : caller.writeBytes(buffer, size, target));
        }
    }

    /** What stands at a path, or with AT_EMPTY_PATH at a descriptor, if it is ours. */
    private @Nullable PathStatus statusOf(int folder, long address, long flags) {
        if ((flags & AT_EMPTY_PATH) != 0 && folder >= StandIns.FIRST && folder <= StandIns.LAST) {
            StandIns.StandIn found = standIns.find(call.thread(), folder);
            return found != null && found.file().form() == OpenFile.Form.DEVICE
                    ? devices.statusOfOpen(found.file().name())
                    : null;
        }
        String path = paths.of(caller, folder, address, Devices.LAST_PART);
        return path == null ? null : devices.status(path, (flags & AT_SYMLINK_NOFOLLOW) == 0);
    }

    private void ioctl() {
        int command = (int) call.argument(1);
        if (command == KvmVfio.SET_DEVICE_ATTR) {
            showToKvm();
            return;
        }
        OpenFile file = fileOf(0);
        if (file == null) {
            call.proceed();
            return;
        }
        if (!caller.isWaiting()) {
            return;
        }
        trace.beginsIoctl(caller, file, command, call.argument(2));
        failNth.begins(caller.thread());
        long result = file.ioctl(caller, command, call.argument(2));
        failNth.ends(caller.thread());
        trace.endsIoctl(caller, result);
        call.answer(result);
    }

    /**
     * A VMM shows each device that it has been given to KVM, and gives up if KVM does not know it
     * (hw/vfio/kvm-helpers.c of QEMU). For one of ours there is nothing to know: what it writes
     * passes no caches by. Other files and attributes are for KVM to judge.
     */
    private void showToKvm() {
        boolean isOurs = false;
        if (caller.read(call.argument(2), vectors, 0, KvmVfio.ATTR_SIZE) == 0
                && vectors.get(JAVA_INT, KvmVfio.ATTR_GROUP) == KvmVfio.GROUP_FILE) {
            long attribute = vectors.get(JAVA_LONG, KvmVfio.ATTR_ATTR);
            long address = vectors.get(JAVA_LONG, KvmVfio.ATTR_ADDR);
            isOurs =
                    (attribute == KvmVfio.FILE_ADD || attribute == KvmVfio.FILE_DEL)
                            && caller.read(address, vectors, 0, Integer.BYTES) == 0
                            && caller.served(vectors.get(JAVA_INT, 0)) != null;
        }
        if (isOurs) {
            call.answer(0);
        } else {
            call.proceed();
        }
    }

    private void transfer(boolean isWrite) {
        OpenFile file = fileOf(0);
        if (file == null) {
            call.proceed();
            return;
        }
        if (!caller.isWaiting()) {
            return;
        }
        failNth.begins(caller.thread());
        long result = transfer(file, isWrite, call.argument(1), call.argument(2));
        failNth.ends(caller.thread());
        trace.transferred(caller, file, isWrite, call.argument(2), result);
        call.answer(result);
    }

    private long transfer(OpenFile file, boolean isWrite, long address, long length) {
        // As rw_verify_area does: a length is a positive ssize_t.
        if (length < 0) {
            return -Errno.EINVAL;
        }
        return isWrite ? file.write(caller, address, length) : file.read(caller, address, length);
    }

    private void transferAt(boolean isWrite) {
        OpenFile file = fileOf(0);
        if (file == null) {
            call.proceed();
            return;
        }
        if (!caller.isWaiting()) {
            return;
        }
        failNth.begins(caller.thread());
        long length = call.argument(2);
        long result = transferAt(file, isWrite, call.argument(1), length, call.argument(3));
        failNth.ends(caller.thread());
        trace.transferred(caller, file, isWrite, length, result);
        call.answer(result);
    }

    private long transferAt(
            OpenFile file, boolean isWrite, long address, long length, long offset) {
        if (length < 0 || offset < 0) {
            return -Errno.EINVAL;
        }
        return isWrite
                ? file.writeAt(caller, address, length, offset)
                : file.readAt(caller, address, length, offset);
    }

    /** As the kernel does for files without vectors of their own: one after the other. */
    private void transferVector(boolean isWrite) {
        OpenFile file = fileOf(0);
        if (file == null) {
            call.proceed();
            return;
        }
        long count = call.argument(2);
        long result = transferVector(file, isWrite, call.argument(1), count);
        trace.transferredVector(caller, file, isWrite, count, result);
        call.answer(result);
    }

    private long transferVector(OpenFile file, boolean isWrite, long address, long count) {
        if (count < 0 || count > VECTORS_MAX) {
            return -Errno.EINVAL;
        }
        if (caller.read(address, vectors, 0, count * SIZEOF_IOVEC) < 0) {
            return -Errno.EFAULT;
        }
        long done = 0;
        for (int i = 0; i < count && caller.isWaiting(); i++) {
            long length = vectors.get(JAVA_LONG, (long) i * SIZEOF_IOVEC + 8);
            long result =
                    transfer(
                            file, isWrite, vectors.get(JAVA_LONG, (long) i * SIZEOF_IOVEC), length);
            if (result < 0) {
                return done == 0 ? result : done;
            }
            done += result;
            if (result < length) {
                break;
            }
        }
        return done;
    }

    private void map() {
        OpenFile file = fileOf(4);
        if (file == null) {
            call.proceed();
            return;
        }
        long result =
                file.map(
                        call.argument(5),
                        call.argument(1),
                        (int) call.argument(2),
                        (int) call.argument(3));
        trace.mapped(caller, file, call.argument(5), call.argument(1), result);
        if (result == 0) {
            call.proceed();
        } else {
            call.answer(result);
        }
    }

    private void fcntl() {
        switch ((int) call.argument(1)) {
            case F_DUPFD -> duplicate((int) call.argument(2), false);
            case F_DUPFD_CLOEXEC -> duplicate((int) call.argument(2), true);
            default -> call.proceed();
        }
    }

    /** A copy gets a number of ours too, or the filter would not show us what is done with it. */
    private void duplicate(int from, boolean isCloseOnExec) {
        StandIns.StandIn found = standIns.find(call.thread(), (int) call.argument(0));
        int number = found == null ? 0 : standIns.freeNumber(call.thread(), from);
        if (fileOf(0) == null || number < 0 || from > StandIns.LAST) {
            call.proceed();
            return;
        }
        int result = caller.copy((int) call.argument(0), number, isCloseOnExec);
        if (result < 0) {
            call.proceed();
        }
    }

    /** The file of ours that a descriptor is, unless the kernel serves it. */
    private @Nullable OpenFile fileOf(int argument) {
        OpenFile file = caller.served((int) call.argument(argument));
        return file == null || file.form() == OpenFile.Form.CONTENTS ? null : file;
    }
}
