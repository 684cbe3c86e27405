// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import java.util.Arrays;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.jspecify.annotations.Nullable;

/**
 * A set with a quota, numbers of its own for its ids, and notifiers. An id is idle, active from
 * {@link #allocate} on, freed by {@link #free}, and idle again with its last reference. Any thread;
 * all but look-ups under the allocator's lock.
 *
 * @param <T> the type of private data
 */
public final class QuotaSet<T> extends IoasidSet<T> {
    private final IoasidSets sets;
    private final IoasidAllocator allocator;
    private final @Nullable Object token;
    private final IdTable spids = new IdTable();
    private int quota;
    private int used;

    // Its maker's, one for each id, and whoever asked for one.
    private int references = 1;

    QuotaSet(IoasidSets sets, @Nullable Object token, String name, Class<T> type, int quota) {
        super(name, type);
        this.sets = sets;
        this.allocator = sets.allocator();
        this.token = token;
        this.quota = quota;
    }

    @Override
    boolean isManaged() {
        return true;
    }

    @Override
    void requireRoom() throws IommufdException {
        if (references == 0) {
            throw new IommufdException(Errno.ENOENT, this + " has ended");
        }
        if (used >= quota) {
            throw new IommufdException(Errno.ENOSPC, "%s has its %d ids".formatted(this, quota));
        }
    }

    @Override
    void added() {
        used++;
        references++;
    }

    @Override
    void removed(IoasidRecord record) {
        if (record.spid != IoasidAllocator.INVALID) {
            spids.remove(record.spid);
            record.spid = IoasidAllocator.INVALID;
        }
        used--;
        drop();
    }

    private void drop() {
        if (--references == 0) {
            sets.ended(this, token, quota);
        }
    }

    /** One more reference on the set; false: it has ended. */
    public boolean retain() {
        synchronized (allocator.lock()) {
            if (references == 0) {
                return false;
            }
            references++;
            return true;
        }
    }

    /** One reference on the set less: with the last one, and its last id, its quota is free. */
    public void release() {
        synchronized (allocator.lock()) {
            if (references == used) {
                throw new IllegalStateException("more releases than references of " + this);
            }
            drop();
        }
    }

    /** Most ids that it has at a time. */
    public int quota() {
        synchronized (allocator.lock()) {
            return quota;
        }
    }

    /** Ids that it has, freed ones with references too. */
    public int used() {
        synchronized (allocator.lock()) {
            return used;
        }
    }

    /**
     * Changes the quota.
     *
     * @throws IommufdException EINVAL: it has more ids than that; ENOSPC: more than is left;
     *     ENOENT: it has ended
     */
    public void quota(int value) throws IommufdException {
        synchronized (allocator.lock()) {
            if (references == 0) {
                throw new IommufdException(Errno.ENOENT, this + " has ended");
            }
            if (value <= 0 || value < used) {
                throw new IommufdException(Errno.EINVAL, "%s has %d ids".formatted(this, used));
            }
            sets.grant(value - quota);
            quota = value;
        }
    }

    /**
     * Hands out an id, with one reference, and tells of it.
     *
     * @param first the lowest that will do, unsigned
     * @param last the highest that will do, unsigned
     * @param data null: it comes later, by {@link IoasidAllocator#setData}
     * @throws IommufdException ENOSPC: the quota, or no id of the range is free; what the custom
     *     allocator answers; nothing has changed, and nobody was told
     */
    public int allocate(int first, int last, @Nullable T data) throws IommufdException {
        int id = allocator.add(this, first, last, data);
        sets.notifyAll(IoasidEvent.ALLOC, this, id, IoasidAllocator.INVALID);
        return id;
    }

    /** One more reference on an id; false: it is not here, or freed. */
    public boolean get(int id) {
        synchronized (allocator.lock()) {
            return own(id) != null && allocator.get(id);
        }
    }

    /**
     * One reference on an id less, which may be freed; the last one of an id that is not frees it,
     * and all who registered are told.
     *
     * @return true: it was the last
     */
    public boolean put(int id) {
        IoasidRecord record;
        int spid;
        synchronized (allocator.lock()) {
            record = allocator.record(id);
            if (record == null || !record.isOf(this)) {
                return false;
            }
            if (record.references > 1 || !allocator.beginFree(record)) {
                return allocator.drop(record);
            }
            spid = record.spid;
        }
        return endFree(record, spid);
    }

    /**
     * Ends an id: nobody finds it any more, all who registered are told, and it is back in the pool
     * with the last reference. Never fails; works twice as well as once.
     */
    public void free(int id) {
        IoasidRecord record;
        int spid;
        synchronized (allocator.lock()) {
            record = own(id);
            if (record == null || !allocator.beginFree(record)) {
                return;
            }
            spid = record.spid;
        }
        endFree(record, spid);
    }

    /** The reference that goes with this keeps the id while they are told. */
    private boolean endFree(IoasidRecord record, int spid) {
        sets.notifyAll(IoasidEvent.FREE, this, record.id, spid);
        synchronized (allocator.lock()) {
            return allocator.drop(record);
        }
    }

    /**
     * Something is bound to an id, and all who registered are told.
     *
     * @throws IommufdException ENOENT: it is not here, or freed; EBUSY: something is bound already
     */
    public void bind(int id) throws IommufdException {
        int spid;
        synchronized (allocator.lock()) {
            IoasidRecord record = require(id);
            if (record.isBound) {
                throw new IommufdException(Errno.EBUSY, "something is bound to the id");
            }
            record.isBound = true;
            spid = record.spid;
        }
        sets.notifyAll(IoasidEvent.BIND, this, id, spid);
    }

    /** Nothing is bound to an id any more; freed ones too. Works twice as well as once. */
    public void unbind(int id) {
        int spid;
        synchronized (allocator.lock()) {
            IoasidRecord record = allocator.record(id);
            if (record == null || !record.isOf(this) || !record.isBound) {
                return;
            }
            record.isBound = false;
            spid = record.spid;
        }
        sets.notifyAll(IoasidEvent.UNBIND, this, id, spid);
    }

    /**
     * Gives an id a number inside the set: a guest's PASID, for instance.
     *
     * @throws IommufdException ENOENT: it is not here, or freed; EINVAL: no such number; EEXIST:
     *     the number is another id's; EBUSY: the id has one; ENOMEM
     */
    public void attachSpid(int id, int spid) throws IommufdException {
        synchronized (allocator.lock()) {
            IoasidRecord record = require(id);
            if (Integer.compareUnsigned(spid, IoasidAllocator.LAST) > 0) {
                throw new IommufdException(Errno.EINVAL, "a number has 20 bits");
            }
            if (spids.get(spid) != null) {
                throw new IommufdException(Errno.EEXIST, "the number is another id's");
            }
            if (record.spid != IoasidAllocator.INVALID) {
                throw new IommufdException(Errno.EBUSY, "the id has a number");
            }
            if (spids.needsMemory(spid)) {
                allocator.failures().allocate();
            }
            record.spid = spid;
            spids.put(spid, record);
        }
    }

    /**
     * Takes a number away; when it returns, no getter has what was found by it.
     *
     * @throws IommufdException ENOENT: no id has it
     */
    public void detachSpid(int spid) throws IommufdException {
        synchronized (allocator.lock()) {
            IoasidRecord record = spids.get(spid);
            if (record == null) {
                throw new IommufdException(Errno.ENOENT, "no id has the number");
            }
            spids.remove(spid);
            record.spid = IoasidAllocator.INVALID;
            allocator.awaitReaders();
        }
    }

    /** The id with a number inside the set, or INVALID. Any thread, without a lock. */
    public int findBySpid(int spid) {
        IoasidRecord record = spids.get(spid);
        return record == null || record.isFreed ? IoasidAllocator.INVALID : record.id;
    }

    /** What has a number inside the set. Any thread, without a lock. */
    @Nullable IoasidRecord recordBySpid(int spid) {
        return spids.get(spid);
    }

    /** Visits the ids that it had at one moment and were not freed, without a lock held. */
    public void forEach(IntConsumer visitor) {
        int[] ids;
        synchronized (allocator.lock()) {
            IntStream.Builder found = IntStream.builder();
            allocator.forEach(record -> {
                if (record.isOf(this) && !record.isFreed) {
                    found.add(record.id);
                }
            });
            ids = found.build().toArray();
        }
        Arrays.stream(ids).forEach(visitor);
    }

    /** What is known of an id of this set that is not freed, or null. Under the lock. */
    private @Nullable IoasidRecord own(int id) {
        IoasidRecord record = allocator.live(id);
        return record != null && record.isOf(this) ? record : null;
    }

    private IoasidRecord require(int id) throws IommufdException {
        IoasidRecord record = own(id);
        if (record == null) {
            throw new IommufdException(Errno.ENOENT, "%s has no id %d".formatted(this, id));
        }
        return record;
    }
}
