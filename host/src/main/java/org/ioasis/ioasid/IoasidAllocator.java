// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.memory.Guards;
import org.ioasis.memory.PinnedLease;
import org.ioasis.memory.Quiescence;
import org.jspecify.annotations.Nullable;

/**
 * The ids of a system, each with a set, private data and references. Where nothing else is
 * registered the lowest free id is handed out; a custom allocator takes precedence, and its ids are
 * tracked here all the same. Any thread: changes take one lock, look-ups ({@link #openReader}) take
 * none.
 *
 * <p>Private data that is replaced, or whose id is freed, is out of every look-up's hands when the
 * call returns, so its owner may recycle it at once. For that a change waits for look-ups that have
 * begun before it, microseconds each; hence no call may come from inside a getter.
 */
public final class IoasidAllocator {
    /** No id. */
    public static final int INVALID = -1;

    /** The highest id: a PASID has 20 bits. */
    public static final int LAST = (1 << 20) - 1;

    private final Object lock = new Object();
    private final FailureInjector failures;
    private final Consumer<String> trouble;

    private final Guards guards = new Guards(() -> 0, _ -> {});
    private final Quiescence grace = new Grace();
    private final List<IoasidReader> readers = new CopyOnWriteArrayList<>();
    private final ArrayDeque<IoasidReader> idle = new ArrayDeque<>();

    private final IdSpace standard = new IdSpace.Standard();
    private final List<CustomSpace> custom = new ArrayList<>();
    private volatile IdSpace active = standard;

    private long refusals;
    private long unknown;
    private long lost;

    /** Look-ups have no leases, and nobody is told: who waits goes on. */
    private static final class Grace extends Quiescence {
        @Override
        protected boolean isHeldBy(PinnedLease lease) {
            return false;
        }

        @Override
        protected void quiescent() {}
    }

    public IoasidAllocator() {
        this(new FailureInjector(), _ -> {});
    }

    /**
     * @param failures asked at each allocation and each call of a custom allocator
     * @param trouble told of what a custom allocator does wrong, in words; under the lock
     */
    public IoasidAllocator(FailureInjector failures, Consumer<String> trouble) {
        this.failures = failures;
        this.trouble = trouble;
    }

    /**
     * Hands out an id, with one reference.
     *
     * @param first the lowest that will do, unsigned
     * @param last the highest that will do, unsigned; there is none above {@link #LAST}
     * @param data null: it comes later, by {@link #setData}
     * @return the id, or {@link #INVALID} for whatever reason; then nothing has changed
     */
    public <T> int allocate(IoasidSet<T> set, int first, int last, @Nullable T data) {
        requireUnmanaged(set);
        return allocateOrInvalid(set, first, last, data);
    }

    /**
     * Hands out an id of no set, for whoever alone knows what its private data is: the NULL set.
     */
    public int allocate(int first, int last, @Nullable Object data) {
        return allocateOrInvalid(null, first, last, data);
    }

    private int allocateOrInvalid(
            @Nullable IoasidSet<?> set, int first, int last, @Nullable Object data) {
        try {
            return add(set, first, last, data);
        } catch (IommufdException e) {
            return INVALID;
        }
    }

    /** As the public ones, with the reason. */
    int add(@Nullable IoasidSet<?> set, int first, int last, @Nullable Object data)
            throws IommufdException {
        if (set != null) {
            set.check(data);
        }
        synchronized (lock()) {
            try {
                return addLocked(set, first, last, data);
            } catch (IommufdException e) {
                refusals++;
                if (e.errno() == Errno.EEXIST || e.errno() == Errno.ERANGE) {
                    trouble.accept(e.rule());
                }
                throw e;
            }
        }
    }

    private int addLocked(@Nullable IoasidSet<?> set, int first, int last, @Nullable Object data)
            throws IommufdException {
        int end = Integer.compareUnsigned(last, LAST) > 0 ? LAST : last;
        if (Integer.compareUnsigned(first, end) > 0) {
            throw new IommufdException(Errno.ENOSPC, "the range has no id");
        }
        failures.allocate();
        if (set != null) {
            set.requireRoom();
        }
        IdSpace from = active;
        int id = from.take(first, end, failures);
        if (from.table.needsMemory(id) && failures.fails()) {
            giveBack(from, id);
            throw new IommufdException(Errno.ENOMEM, "no memory to track the id");
        }
        from.table.put(id, new IoasidRecord(id, set, data));
        if (set != null) {
            set.added();
        }
        return id;
    }

    private void giveBack(IdSpace to, int id) {
        if (!to.giveBack(id)) {
            lost++;
            trouble.accept("the custom allocator did not take %d back".formatted(id));
        }
    }

    /** One more reference; false: no such id, or it is freed. */
    public boolean get(int id) {
        synchronized (lock()) {
            IoasidRecord record = live(id);
            if (record == null) {
                unknown++;
                return false;
            }
            record.references++;
            return true;
        }
    }

    /**
     * One reference less. With the last the id goes back to where it came from: when this returns
     * true nobody finds it and no getter has its private data.
     *
     * @return false: there are others, or no such id
     */
    public boolean put(int id) {
        synchronized (lock()) {
            IdSpace from = active;
            IoasidRecord record = from.table.get(id);
            if (record == null) {
                unknown++;
                return false;
            }
            requireUnmanaged(record.set);
            return drop(from, record);
        }
    }

    /** One reference of a record less, if it is still there; true: it was the last. Locked. */
    boolean drop(IoasidRecord record) {
        IdSpace from = active;
        return record.equals(from.table.get(record.id)) && drop(from, record);
    }

    private boolean drop(IdSpace from, IoasidRecord record) {
        if (--record.references > 0) {
            return false;
        }
        // Out of the table first: who has it back may hand it out again.
        from.table.remove(record.id);
        record.isFreed = true;
        awaitReaders();
        if (record.set != null) {
            record.set.removed(record);
        }
        giveBack(from, record.id);
        return true;
    }

    /**
     * Ends an id, whoever has references: nobody finds it any more, and it goes back with the last
     * reference, of which this takes that of {@link #allocate}. Works twice as well as once.
     *
     * @return whether it is back already
     */
    public boolean free(int id) {
        synchronized (lock()) {
            IoasidRecord record = live(id);
            if (record == null) {
                unknown++;
                return false;
            }
            requireUnmanaged(record.set);
            return beginFree(record) && drop(active, record);
        }
    }

    /** Nobody finds it any more; false: it is freed already. Under the lock. */
    boolean beginFree(IoasidRecord record) {
        if (record.isFreed) {
            return false;
        }
        record.isFreed = true;
        awaitReaders();
        return true;
    }

    /**
     * Sets the private data of an id of a set. When it returns no getter has what was there before.
     *
     * @throws IommufdException ENOENT: no such id; EACCES: it is another set's, so that only who
     *     has allocated an id binds something to it
     */
    public <T> void setData(IoasidSet<T> set, int id, @Nullable T data) throws IommufdException {
        set.check(data);
        synchronized (lock()) {
            IoasidRecord record = require(id);
            if (!record.isOf(set)) {
                throw new IommufdException(Errno.EACCES, "the id is of another set than " + set);
            }
            replace(record, data);
        }
    }

    /** As the other, for whoever knows whose the id is: of any set, or of none. */
    public void setData(int id, @Nullable Object data) throws IommufdException {
        synchronized (lock()) {
            IoasidRecord record = require(id);
            if (record.set != null) {
                record.set.check(data);
            }
            replace(record, data);
        }
    }

    private void replace(IoasidRecord record, @Nullable Object data) {
        record.data = data;
        awaitReaders();
    }

    /**
     * A custom allocator. The first takes effect at once, with the same functions as another's it
     * joins that one, others wait in the order of registration. While one is there, none of ours is
     * handed out, also when it has none.
     *
     * @throws IommufdException EAGAIN: ids of ours are out; EEXIST: it is registered; ENOMEM
     */
    public void register(IoasidOps<?> ops) throws IommufdException {
        synchronized (lock()) {
            failures.allocate();
            if (custom.isEmpty() && standard.table.size() > 0) {
                throw new IommufdException(
                        Errno.EAGAIN,
                        "%d ids of the default allocator are out".formatted(standard.table.size()));
            }
            for (CustomSpace space : custom) {
                if (space.contains(ops)) {
                    throw new IommufdException(Errno.EEXIST, "the allocator is registered");
                }
            }
            for (CustomSpace space : custom) {
                if (space.isSharedBy(ops)) {
                    space.join(ops);
                    return;
                }
            }
            CustomSpace space = new CustomSpace(ops);
            custom.add(space);
            active = custom.getFirst();
        }
    }

    /**
     * Ends a registration. Ids outlive it while another with the same functions is there; those
     * that are still out when the last one leaves are lost, and their private data is in no
     * getter's hands.
     *
     * @throws IommufdException ENOENT: it is not registered
     */
    public Unregistered unregister(IoasidOps<?> ops) throws IommufdException {
        synchronized (lock()) {
            for (CustomSpace space : custom) {
                if (space.contains(ops)) {
                    if (!space.leave(ops)) {
                        return new Unregistered(false, 0);
                    }
                    custom.remove(space);
                    active = custom.isEmpty() ? standard : custom.getFirst();
                    return new Unregistered(true, lose(space));
                }
            }
        }
        throw new IommufdException(Errno.ENOENT, "the allocator is not registered");
    }

    private int lose(IdSpace space) {
        int out = space.table.size();
        if (out > 0) {
            space.table.forEach(record -> record.isFreed = true);
            awaitReaders();
            space.table.forEach(record -> {
                if (record.set != null) {
                    record.set.removed(record);
                }
            });
            lost += out;
            trouble.accept("%d ids are lost with the allocator that they came from".formatted(out));
        }
        return out;
    }

    /** Whether the ids of a registered allocator are those that are handed out. */
    public boolean isActive(IoasidOps<?> ops) {
        synchronized (lock()) {
            return !custom.isEmpty() && custom.getFirst().contains(ops);
        }
    }

    /** Ids that are out, freed ones with references too. */
    public int liveIds() {
        synchronized (lock()) {
            return active.table.size();
        }
    }

    /** Allocations that were refused. */
    public long refusals() {
        synchronized (lock()) {
            return refusals;
        }
    }

    /** Calls that named an id that is not there. */
    public long unknown() {
        synchronized (lock()) {
            return unknown;
        }
    }

    /** Ids that no allocator has and nobody finds. */
    public long lost() {
        synchronized (lock()) {
            return lost;
        }
    }

    /** Ids that the custom allocators of now handed out beside what was asked for. */
    public long outOfRange() {
        synchronized (lock()) {
            return custom.stream().mapToLong(CustomSpace::outOfRange).sum();
        }
    }

    /** Ids that the custom allocators of now handed out though they had an owner. */
    public long duplicates() {
        synchronized (lock()) {
            return custom.stream().mapToLong(CustomSpace::duplicates).sum();
        }
    }

    /** For the calling thread's look-ups; to be closed by it. */
    public IoasidReader openReader() {
        synchronized (lock()) {
            IoasidReader reader = idle.poll();
            if (reader == null) {
                reader = new IoasidReader(this, guards.open());
                readers.add(reader);
            }
            return reader.open();
        }
    }

    void idle(IoasidReader reader) {
        synchronized (lock()) {
            idle.add(reader);
        }
    }

    /**
     * The lock of all but look-ups. A getter that waited for it could wait for who has it, who
     * waits for the getter: so it is refused before.
     */
    Object lock() {
        for (IoasidReader reader : readers) {
            if (reader.isInside()) {
                throw new IllegalStateException("a getter must not call the allocator");
            }
        }
        return lock;
    }

    FailureInjector failures() {
        return failures;
    }

    /** What is known of an id, freed or not. Any thread. */
    @Nullable IoasidRecord record(int id) {
        return active.table.get(id);
    }

    /** What is known of an id that is not freed. Under the lock. */
    @Nullable IoasidRecord live(int id) {
        IoasidRecord record = record(id);
        return record == null || record.isFreed ? null : record;
    }

    private IoasidRecord require(int id) throws IommufdException {
        IoasidRecord record = live(id);
        if (record == null) {
            throw new IommufdException(Errno.ENOENT, "no such id");
        }
        return record;
    }

    /** Visits what is known of each id that is out. Under the lock. */
    void forEach(Consumer<IoasidRecord> visitor) {
        active.table.forEach(visitor);
    }

    /**
     * Waits for look-ups that may have found what the caller has just taken away. Under the lock,
     * which makes the caller the one who uses the guards.
     */
    void awaitReaders() {
        guards.awaitNow(grace);
    }

    private static void requireUnmanaged(@Nullable IoasidSet<?> set) {
        if (set != null && set.isManaged()) {
            throw new IllegalArgumentException(
                    "ids of " + set + " come and go by its own methods, which notify");
        }
    }
}
