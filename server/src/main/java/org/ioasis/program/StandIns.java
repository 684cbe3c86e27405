// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.ToIntFunction;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.iommufd.PageRun;
import org.ioasis.spec.VfioDevice;
import org.ioasis.spec.VfioUser;
import org.ioasis.sys.CloseWatch;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.FileBytes;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;
import org.ioasis.sys.PipeFile;
import org.ioasis.sys.TaskFiles;
import org.jspecify.annotations.Nullable;

/**
 * The files of the kernel that stand in for ours in programs' descriptor tables: memory that is
 * empty, or a pipe for what poll(2) waits for. A stand-in is told by device and inode, so that
 * copies of descriptors and forked tables need no book-keeping, and a name that a program chose
 * deceives nobody. Supervisor's thread.
 */
final class StandIns implements AutoCloseable {
    /** Descriptors get numbers of this range: the filter knows calls on them by it. */
    static final int FIRST = 700;

    /** Below the usual limit of descriptors, 1024. */
    static final int LAST = 1000;

    /** Open files of ours in all processes of a program. */
    static final int LIMIT = 4096;

    /**
     * Windows of all files that programs may map: each is a mapping of ours, and a process has some
     * 65,000 of them.
     */
    static final int WINDOW_LIMIT = 4096;

    /**
     * Where a device's file ends: behind the last region of a VFIO device. It is sparse: what
     * nobody maps costs nothing, and mapping is refused where nothing is.
     */
    private static final long DEVICE_BYTES =
            (long) VfioUser.VFIO_PCI_NUM_REGIONS << VfioDevice.REGION_SHIFT;

    /** One of ours, and the kernel's file for it. */
    static final class StandIn {
        private final OpenFile file;
        private final Fd kept;
        private final Key key;
        private final int watch;
        private final TreeMap<Long, DeviceWindow> windows = new TreeMap<>();
        private boolean isShownReadable;

        private StandIn(OpenFile file, Fd kept, Key key, int watch) {
            this.file = file;
            this.kept = kept;
            this.key = key;
            this.watch = watch;
        }

        OpenFile file() {
            return file;
        }
    }

    private record Key(long device, long inode) {
        MappedRange.FileKey mapped() {
            return MappedRange.FileKey.of(device, inode);
        }
    }

    private final CloseWatch closings;
    private final TaskFiles files;
    private final CallTrace trace;
    private final Map<Key, StandIn> byFile = new LinkedHashMap<>();
    private final Map<Integer, StandIn> byWatch = new HashMap<>();
    private final Map<MappedRange.FileKey, StandIn> byMapped = new HashMap<>();

    /** Those that poll(2) waits for. */
    private final List<StandIn> polled = new ArrayList<>();

    private final IdentityHashMap<OpenFile, StandIn> byOpenFile = new IdentityHashMap<>();

    /** Windows of all of them. */
    private int windows;

    StandIns(CloseWatch closings, TaskFiles files, CallTrace trace) {
        this.trace = trace;
        this.closings = closings;
        this.files = files;
    }

    int count() {
        return byFile.size();
    }

    /** What a task's descriptor is, if it is one of ours. */
    @Nullable StandIn find(int task, int descriptor) {
        if (files.look(task, descriptor) < 0) {
            return null;
        }
        return byFile.get(new Key(files.device(), files.inode()));
    }

    /**
     * Hands a file of ours out.
     *
     * @param contents what a file of form CONTENTS holds
     * @param place puts the descriptor into a program's table: its number there or a negative errno
     * @return what {@code place} returned, or another negative errno; the file is released then
     */
    int handOut(OpenFile file, String contents, ToIntFunction<Fd> place) {
        if (byFile.size() >= LIMIT) {
            file.release();
            return -Errno.ENFILE;
        }
        StandIn made;
        int number;
        try {
            Fd kept = kept(file);
            if (!contents.isEmpty()) {
                FileBytes.replace(kept, contents.getBytes(ISO_8859_1));
            }
            try (Fd given = FileBytes.reopen(kept, FileBytes.O_RDWR | FileBytes.O_NONBLOCK)) {
                made = add(file, kept, closings.add(given));
                number = place.applyAsInt(given);
            } catch (ErrnoException e) {
                kept.close();
                throw e;
            }
        } catch (ErrnoException e) {
            file.release();
            return -e.errno();
        }
        if (number < 0) {
            remove(made);
        }
        return number;
    }

    /** Releases what was closed since the last time, in the order of the closes. */
    void drain() {
        List<StandIn> closed = new ArrayList<>();
        boolean isComplete =
                closings.drain(watch -> {
                    StandIn standIn = byWatch.get(watch);
                    if (standIn != null) {
                        closed.add(standIn);
                    }
                });
        closed.forEach(this::remove);
        if (!isComplete) {
            // No more than LIMIT last closes can wait at a time, so a program has opened stand-ins
            // by their names in /proc to cause this. It keeps its files until it ends.
            System.err.println("ioasis: events of closed files were lost");
        }
    }

    /** Lets poll(2) show what each of the files says. */
    void showEvents() {
        for (int i = 0; i < polled.size(); i++) {
            StandIn standIn = polled.get(i);
            boolean isReadable = standIn.file.isReadable();
            if (isReadable != standIn.isShownReadable) {
                standIn.isShownReadable = isReadable;
                PipeFile.fill(standIn.kept, isReadable);
            }
        }
    }

    /** Our own descriptor of the kernel's file for one of ours; null: it is not handed out. */
    @Nullable Fd keptOf(OpenFile file) {
        StandIn found = byOpenFile.get(file);
        return found == null ? null : found.kept;
    }

    /**
     * Bytes that a mapping of one of our devices shows.
     *
     * @return null: it is not handed out, or there is no memory, or the limit of windows is reached
     */
    @Nullable MemorySegment window(OpenFile file, long offset, long length) {
        StandIn found = byOpenFile.get(file);
        if (found == null) {
            return null;
        }
        DeviceWindow known = found.windows.get(offset);
        if (known != null && known.bytes().byteSize() == length) {
            // A window that was there before, at the same place.
            return known.bytes().fill((byte) 0);
        }
        if (known == null && windows == WINDOW_LIMIT) {
            return null;
        }
        try {
            DeviceWindow made =
                    new DeviceWindow(offset, Mapping.map(found.kept, offset, length, true));
            found.windows.put(offset, made);
            if (known == null) {
                windows++;
            } else {
                known.close();
            }
            return made.bytes().fill((byte) 0);
        } catch (ErrnoException e) {
            return null;
        }
    }

    /** Whether a mapped file is one of ours: what a program sees there is none of its memory. */
    boolean isOurs(MappedRange.FileKey file) {
        return byMapped.containsKey(file);
    }

    /** The pages of a window that a program has mapped; null: there is no window of ours. */
    @Nullable PageRun windowPages(MappedRange.FileKey file, long offset, long length) {
        StandIn found = byMapped.get(file);
        Map.Entry<Long, DeviceWindow> below =
                found == null ? null : found.windows.floorEntry(offset);
        return below == null ? null : below.getValue().pages(offset, length);
    }

    /** Whether a program still maps some of a range of one of our devices. */
    boolean isMapped(OpenFile file, long offset, long length) {
        StandIn found = byOpenFile.get(file);
        return found != null && MappedRange.isMapped(found.key.mapped(), offset, length);
    }

    /** The lowest number of the range that a task does not use; -EMFILE. */
    int freeNumber(int task, int from) {
        for (int number = Math.max(FIRST, from); number <= LAST; number++) {
            if (!files.has(task, number)) {
                return number;
            }
        }
        return -Errno.EMFILE;
    }

    /** Releases all that are still open. */
    @Override
    public void close() {
        while (!byFile.isEmpty()) {
            remove(byFile.values().iterator().next());
        }
    }

    private static Fd kept(OpenFile file) throws ErrnoException {
        return switch (file.form()) {
            case DEVICE -> Memfd.create("ioasis:" + file.name(), DEVICE_BYTES);
            case MEMORY, CONTENTS -> Memfd.create("ioasis:" + file.name(), 0);
            case EVENTS -> PipeFile.create();
        };
    }

    private StandIn add(OpenFile file, Fd kept, int watch) throws ErrnoException {
        try {
            files.look(kept);
        } catch (ErrnoException e) {
            closings.remove(watch);
            throw e;
        }
        StandIn made = new StandIn(file, kept, new Key(files.device(), files.inode()), watch);
        byFile.put(made.key, made);
        byWatch.put(watch, made);
        byMapped.put(made.key.mapped(), made);
        byOpenFile.put(file, made);
        if (file.form() == OpenFile.Form.EVENTS) {
            polled.add(made);
        }
        return made;
    }

    private void remove(StandIn standIn) {
        if (byFile.remove(standIn.key) == null) {
            return;
        }
        byWatch.remove(standIn.watch);
        byMapped.remove(standIn.key.mapped());
        polled.remove(standIn);
        closings.remove(standIn.watch);
        byOpenFile.remove(standIn.file);
        standIn.kept.close();
        trace.released(standIn.file);
        try {
            standIn.file.release();
        } catch (RuntimeException e) {
            // A bug of ours costs this file, and no other program's nor the rest of this one's.
            System.err.println("ioasis: last close of " + standIn.file.name());
            e.printStackTrace();
        }
        windows -= standIn.windows.size();
        standIn.windows.values().forEach(DeviceWindow::close);
    }
}
