// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.jspecify.annotations.Nullable;

/**
 * Sets with a quota, one for each virtual machine for instance, and those who want to hear of their
 * ids: of all sets, of one, or of one that is not there yet. Any thread; under the allocator's lock
 * but for the notifiers, which are called without.
 */
public final class IoasidSets {
    private record Entry(IoasidNotifier notifier, NotifierPriority priority) {}

    private final IoasidAllocator allocator;
    private final int capacity;
    private int granted;
    private final Map<Object, QuotaSet<?>> byToken = new HashMap<>();
    private final List<Entry> all = new ArrayList<>();
    private final Map<QuotaSet<?>, List<Entry>> ofSets = new HashMap<>();
    private final Map<Object, List<Entry>> pending = new HashMap<>();

    /**
     * @param capacity ids that the quotas of all sets may sum up to
     */
    public IoasidSets(IoasidAllocator allocator, int capacity) {
        this.allocator = allocator;
        this.capacity = capacity;
    }

    IoasidAllocator allocator() {
        return allocator;
    }

    /**
     * A set, with one reference.
     *
     * @param token what it can be named by: a number, an address space; null: nothing
     * @param quota most ids that it has at a time
     * @throws IommufdException EINVAL: no ids; ENOSPC: more than is left; EEXIST: the token has a
     *     set; ENOMEM
     */
    public <T> QuotaSet<T> create(@Nullable Object token, String name, Class<T> type, int quota)
            throws IommufdException {
        synchronized (allocator.lock()) {
            allocator.failures().allocate();
            if (quota <= 0) {
                throw new IommufdException(Errno.EINVAL, "a set without ids");
            }
            grant(quota);
            if (token != null && byToken.containsKey(token)) {
                granted -= quota;
                throw new IommufdException(Errno.EEXIST, "the token has a set");
            }
            QuotaSet<T> set = new QuotaSet<>(this, token, name, type, quota);
            List<Entry> waited = token == null ? null : pending.remove(token);
            ofSets.put(set, waited == null ? new ArrayList<>() : waited);
            if (token != null) {
                byToken.put(token, set);
            }
            return set;
        }
    }

    /** More of the capacity is a set's, or less. Under the lock. */
    void grant(int more) throws IommufdException {
        if (more > capacity - granted) {
            throw new IommufdException(
                    Errno.ENOSPC, "only %d ids are left for sets".formatted(capacity - granted));
        }
        granted += more;
    }

    /** The last reference of a set is gone. Under the lock. */
    void ended(QuotaSet<?> set, @Nullable Object token, int quota) {
        granted -= quota;
        ofSets.remove(set);
        if (token != null) {
            byToken.remove(token);
        }
    }

    /** Ids that are no set's quota. */
    public int left() {
        synchronized (allocator.lock()) {
            return capacity - granted;
        }
    }

    /** The set of a token, without a reference. */
    public @Nullable QuotaSet<?> byToken(Object token) {
        synchronized (allocator.lock()) {
            return byToken.get(token);
        }
    }

    /**
     * Hears of the ids of all sets.
     *
     * @throws IommufdException ENOMEM
     */
    public void listen(IoasidNotifier notifier, NotifierPriority priority) throws IommufdException {
        synchronized (allocator.lock()) {
            allocator.failures().allocate();
            all.add(new Entry(notifier, priority));
        }
    }

    /**
     * Hears of the ids of one set, which may come later.
     *
     * @throws IommufdException ENOMEM
     */
    public void listen(Object token, IoasidNotifier notifier, NotifierPriority priority)
            throws IommufdException {
        synchronized (allocator.lock()) {
            allocator.failures().allocate();
            QuotaSet<?> set = byToken.get(token);
            List<Entry> list =
                    set == null
                            ? pending.computeIfAbsent(token, _ -> new ArrayList<>())
                            : ofSets.get(set);
            if (list != null) {
                list.add(new Entry(notifier, priority));
            }
        }
    }

    /** Hears no more, wherever it was registered; one that is running may still be told. */
    public void silence(IoasidNotifier notifier) {
        synchronized (allocator.lock()) {
            Predicate<Entry> isIts = entry -> entry.notifier.equals(notifier);
            all.removeIf(isIts);
            ofSets.values().forEach(list -> list.removeIf(isIts));
            pending.values().forEach(list -> list.removeIf(isIts));
            pending.values().removeIf(List::isEmpty);
        }
    }

    /** Tells everybody, in order. Without the lock. */
    void notifyAll(IoasidEvent event, QuotaSet<?> set, int id, int spid) {
        assert !Thread.holdsLock(allocator.lock());
        List<Entry> told;
        synchronized (allocator.lock()) {
            told = new ArrayList<>(all);
            told.addAll(ofSets.getOrDefault(set, List.of()));
        }
        // Stable: of one priority, who registered first.
        told.sort(Comparator.comparing(Entry::priority));
        for (Entry entry : told) {
            entry.notifier.notify(event, set, id, spid);
        }
    }
}
