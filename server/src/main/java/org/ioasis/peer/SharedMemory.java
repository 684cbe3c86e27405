// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Region;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.FileRoom;
import org.ioasis.sys.Mapping;
import org.jspecify.annotations.Nullable;

/**
 * The guest memory that one peer tells us of and shares with us: maps what it sends descriptors
 * for, within limits, and gives everything back. Whatever the transport; one object for each
 * session. Loop thread only.
 *
 * <p>A region without a descriptor is known and cannot be reached: ROM, the memory of a display, or
 * RAM that the peer does not share.
 */
public final class SharedMemory {
    /** Beginning of why a session ends whose peer has truncated the memory it gave us. */
    public static final String GONE = "client's memory cannot be accessed: ";

    /** Address space that one peer's memory may be mapped to, unless it is said otherwise. */
    public static final long USUAL_BYTES = 1L << 44;

    /**
     * Mappings that one turn of the loop closes: each is a handshake with every thread of the
     * process, and a peer may take all it has shared away with one message.
     */
    static final int UNMAPS_PER_TURN = 64;

    /** Why something is not done, in the words of errno and of people. Nothing has changed. */
    public record Refusal(int errno, String why) {}

    private final GuestMemory memory;
    private final long byteLimit;
    private final Executor loop;
    private final boolean isPassedOn;
    private final FileRoom files;

    /** By first address, unsigned. */
    private final TreeMap<Long, SharedRegion> mappings = new TreeMap<>(Long::compareUnsigned);

    private long mappedBytes;

    /**
     * @param memory belongs to this peer alone, until {@link #removeAll} is over; its limit is that
     *     of regions
     * @param byteLimit address space of what is mapped, in bytes
     * @param loop runs what is left for later turns, on the same thread
     */
    public SharedMemory(GuestMemory memory, long byteLimit, Executor loop) {
        this(memory, byteLimit, loop, false);
    }

    /**
     * The same of a device that may pass the memory on: descriptors are kept with it.
     *
     * @param isPassedOn whether it does
     */
    public SharedMemory(GuestMemory memory, long byteLimit, Executor loop, boolean isPassedOn) {
        this(memory, byteLimit, loop, isPassedOn, FileRoom.ofProcess());
    }

    /**
     * @param files room for the descriptors that are kept
     */
    SharedMemory(
            GuestMemory memory, long byteLimit, Executor loop, boolean isPassedOn, FileRoom files) {
        this.memory = memory;
        this.files = files;
        this.byteLimit = byteLimit;
        this.loop = loop;
        this.isPassedOn = isPassedOn;
    }

    /**
     * Adds the region {@code first..last}.
     *
     * @param fd what to map, from {@code offset} on; stays the caller's. Null: it cannot be reached
     * @return null if that is done
     */
    public @Nullable Refusal add(
            long first, long last, @Nullable Fd fd, long offset, boolean isWritable) {
        if (fd == null) {
            return added(new Region(first, last, null, isWritable, null));
        }
        long size = last - first + 1;
        if (size <= 0) {
            return new Refusal(Errno.EINVAL, "memory region is longer than any file");
        }
        if (size > byteLimit - mappedBytes) {
            return new Refusal(Errno.ENOSPC, "limit of mapped bytes");
        }
        SharedRegion shared;
        try {
            shared = map(fd, offset, size, isWritable);
        } catch (ErrnoException e) {
            return new Refusal(e.errno(), why(e.errno()));
        }
        Refusal refusal = added(new Region(first, last, shared.segment(), isWritable, shared));
        if (refusal != null) {
            shared.close();
            return refusal;
        }
        mappings.put(first, shared);
        mappedBytes += size;
        return null;
    }

    private static String why(int errno) {
        return switch (errno) {
            case Errno.ENOMEM ->
                    "memory cannot be mapped: none is left, or no mapping of those that the host allows a process (vm.max_map_count)";
            case Errno.EMFILE, Errno.ENFILE ->
                    "memory cannot be kept to pass it on: no descriptor is left of those that the host allows a process (RLIMIT_NOFILE), of which half are for that";
            default -> "memory cannot be mapped";
        };
    }

    private SharedRegion map(Fd fd, long offset, long size, boolean isWritable)
            throws ErrnoException {
        FileRoom.Kept kept = isPassedOn ? files.keep(fd) : null;
        boolean isMapped = false;
        try {
            SharedRegion shared =
                    new SharedRegion(Mapping.map(fd, offset, size, isWritable), kept, offset);
            isMapped = true;
            return shared;
        } finally {
            if (!isMapped && kept != null) {
                kept.close();
            }
        }
    }

    private @Nullable Refusal added(Region region) {
        return switch (memory.add(region)) {
            case DONE -> null;
            case OVERLAPS -> new Refusal(Errno.EEXIST, "memory region overlaps another");
            case LIMIT -> new Refusal(Errno.ENOSPC, "limit of memory regions");
            case MISSING, CUTS -> throw new IllegalStateException("what is added is not there yet");
        };
    }

    /**
     * Removes the regions that lie whole in {@code first..last}.
     *
     * @param whenGone runs when no access is in any of them and they are unmapped, perhaps at once
     * @return null if that is done or begun
     */
    public @Nullable Refusal remove(long first, long last, Runnable whenGone) {
        SortedMap<Long, SharedRegion> range = mappings.subMap(first, true, last, true);
        // Mapped until no access is in them, and perhaps beyond the peer's end.
        Map<Long, SharedRegion> removed = new TreeMap<>(range);
        range.clear();
        GuestMemory.Change change =
                memory.remove(
                        first, last, () -> unmap(new ArrayDeque<>(removed.values()), whenGone));
        if (change == GuestMemory.Change.DONE) {
            return null;
        }
        mappings.putAll(removed);
        return change == GuestMemory.Change.CUTS
                ? new Refusal(Errno.EINVAL, "a memory region would be cut")
                : new Refusal(Errno.ENOENT, "no memory region is there");
    }

    /** Removes everything, and takes back what is lent; as {@link #remove}. Twice is fine. */
    public void removeAll(Runnable whenGone) {
        Deque<SharedRegion> removed = new ArrayDeque<>(mappings.values());
        mappings.clear();
        memory.clear(() -> unmap(removed, whenGone));
    }

    /** Unmaps what one turn may, and the rest in the turns after it. */
    private void unmap(Deque<SharedRegion> removed, Runnable whenGone) {
        unmap(removed, UNMAPS_PER_TURN);
        if (!removed.isEmpty()) {
            try {
                loop.execute(() -> unmap(removed, whenGone));
                return;
            } catch (RejectedExecutionException e) {
                // It has ended, or too much waits: there is no later turn for this.
                unmap(removed, removed.size());
            }
        }
        whenGone.run();
    }

    private void unmap(Deque<SharedRegion> removed, int most) {
        for (int i = Math.min(most, removed.size()); i > 0; i--) {
            SharedRegion shared = removed.remove();
            mappedBytes -= shared.segment().byteSize();
            shared.close();
        }
    }

    /** Most regions at a time, for who tells the peer. */
    public int regionLimit() {
        return memory.regionLimit();
    }

    /** What there is now, for who shows it. */
    public MemoryView view() {
        return MemoryView.of(memory);
    }
}
