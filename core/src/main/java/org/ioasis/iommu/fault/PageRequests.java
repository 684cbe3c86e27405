// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.fault;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.LongSupplier;
import java.util.function.Predicate;
import org.ioasis.iommu.fault.PageRequest.Asker;
import org.ioasis.iommu.fault.PageRequest.Response;
import org.ioasis.memory.Count;
import org.jspecify.annotations.Nullable;

/**
 * Page requests of devices on their way to a driver, and its answers on their way back. A driver
 * hears of a group when it is whole, of its requests in their order; and each group is answered
 * once: by the driver that has heard of all of it, or by us as invalid, when nobody takes it, when
 * there is no room, when what it came through is detached or reset, or when its time is over.
 *
 * <p>Bounded for each endpoint: one that has taken all its room leaves others theirs. Loop thread;
 * counters any.
 */
public final class PageRequests {
    /** Most groups of an endpoint without an answer. */
    public static final int GROUPS_MAX = 256;

    /** Most requests of an endpoint: of those groups, and of groups whose last has not come. */
    public static final int REQUESTS_MAX = 1024;

    private record Key(int endpoint, int pasid, int group) {
        static Key of(PageRequest request) {
            return new Key(request.endpoint(), request.pasid(), request.group());
        }
    }

    private static final class Group {
        private final Key key;
        private final List<PageRequest> requests;
        private final Asker asker;

        /** When its last request came. */
        private final long since;

        private int told;

        Group(Key key, List<PageRequest> requests, Asker asker, long since) {
            this.key = key;
            this.requests = requests;
            this.asker = asker;
            this.since = since;
        }

        boolean isTold() {
            return told == requests.size();
        }

        void answer(Response response) {
            asker.answered(key.pasid, key.group, response);
        }
    }

    private final Map<Key, List<PageRequest>> parts = new HashMap<>();
    private final Map<Key, Group> open = new LinkedHashMap<>();

    /** How many groups an endpoint has open, and how many requests of it are kept; never 0. */
    private final Map<Integer, Integer> groupsOf = new HashMap<>();

    private final Map<Integer, Integer> heldOf = new HashMap<>();
    private final ArrayDeque<Group> untold = new ArrayDeque<>();
    private final Count groups = new Count();
    private final Count answered = new Count();
    private final Count invalid = new Count();
    private final Count refused = new Count();
    private final Count dropped = new Count();
    private final Count expired = new Count();
    private LongSupplier clock = () -> 0;
    private long deadline;
    private Runnable arrival = () -> {};
    private boolean isAccepting;

    /** Groups that a driver has heard of, or will. Any thread. */
    public long groups() {
        return groups.read();
    }

    /** Those that it has answered. Any thread. */
    public long answered() {
        return answered.read();
    }

    /** Those that were answered as invalid, because what they came through went. Any thread. */
    public long invalid() {
        return invalid.read();
    }

    /**
     * Groups that no driver hears of: nobody takes them, there is no room, or the device has a
     * group of this number already. Any thread.
     */
    public long refused() {
        return refused.read();
    }

    /** Requests that nobody takes or that there was no room for, while their group went on. */
    public long dropped() {
        return dropped.read();
    }

    /** Groups that were answered as invalid because no driver had in time. Any thread. */
    public long expired() {
        return expired.read();
    }

    /**
     * Sets how long a driver has from the last request of a group, told or not; without it, for
     * ever.
     *
     * @param nanos so many are not too long yet
     * @param nanoClock does not go back
     */
    public void deadline(long nanos, LongSupplier nanoClock) {
        if (nanos <= 0) {
            throw new IllegalArgumentException("deadline of %d ns".formatted(nanos));
        }
        deadline = nanos;
        clock = nanoClock;
    }

    /** True while a group waits that has a deadline: {@link #expire} is to be called. */
    public boolean isTimed() {
        return deadline != 0 && !open.isEmpty();
    }

    /** Answers as invalid what has waited too long. */
    public void expire() {
        if (!isTimed()) {
            return;
        }
        long now = clock.getAsLong();
        List<Group> late = new ArrayList<>();
        for (Group group : open.values()) {
            if (now - group.since <= deadline) {
                break; // and those behind it came later
            }
            late.add(group);
        }
        end(late, expired);
    }

    /** Groups that have no answer yet. */
    public int open() {
        return open.size();
    }

    /** Requests that are kept. */
    public int held() {
        return heldOf.values().stream().mapToInt(Integer::intValue).sum();
    }

    /** {@code told} runs when there is one more group to tell. */
    public void onArrival(Runnable told) {
        arrival = told;
    }

    /** Says whether there is a driver that answers. */
    public void accept(boolean isAnswered) {
        isAccepting = isAnswered;
        if (!isAnswered) {
            forgetAll();
        }
    }

    /** A device asks. Its {@code asker} may be answered before this returns. */
    public void add(PageRequest request, Asker asker) {
        expire();
        Key key = Key.of(request);
        if (!request.isLast()) {
            if (!isAccepting || count(heldOf, key.endpoint) == REQUESTS_MAX) {
                dropped.increment();
                return;
            }
            parts.computeIfAbsent(key, _ -> new ArrayList<>()).add(request);
            change(heldOf, key.endpoint, 1);
            return;
        }
        List<PageRequest> earlier = parts.remove(key);
        List<PageRequest> requests = earlier == null ? new ArrayList<>() : earlier;
        // A number that has no answer yet cannot be told from this one.
        boolean hasPlace =
                isAccepting
                        && count(groupsOf, key.endpoint) < GROUPS_MAX
                        && count(heldOf, key.endpoint) < REQUESTS_MAX
                        && !open.containsKey(key);
        if (!hasPlace) {
            change(heldOf, key.endpoint, -requests.size());
            refused.increment();
            asker.answered(key.pasid, key.group, Response.INVALID);
            return;
        }
        requests.add(request);
        change(heldOf, key.endpoint, 1);
        groups.increment();
        Group group = new Group(key, requests, asker, clock.getAsLong());
        open.put(key, group);
        change(groupsOf, key.endpoint, 1);
        untold.add(group);
        arrival.run();
    }

    // The driver
    // ------------------------------------------------------------------------------------------------------

    /** What the driver is to hear next, or null; it stays. */
    public @Nullable PageRequest peek() {
        Group next = untold.peek();
        return next == null ? null : next.requests.get(next.told);
    }

    /** The driver has heard of what {@link #peek} gives. */
    public void told() {
        Group next = untold.element();
        next.told++;
        if (next.isTold()) {
            untold.remove();
        }
    }

    /** False if there is no such group, or the driver cannot know of it yet. */
    public boolean answer(int endpoint, int pasid, int group, Response response) {
        expire();
        Group found = open.get(new Key(endpoint, pasid, group));
        if (found == null || !found.isTold()) {
            return false;
        }
        // Not here any more when the device hears of it: it may ask again at once.
        close(found);
        answered.increment();
        found.answer(response);
        return true;
    }

    private void close(Group group) {
        open.remove(group.key);
        change(groupsOf, group.key.endpoint, -1);
        change(heldOf, group.key.endpoint, -group.requests.size());
    }

    private static int count(Map<Integer, Integer> counts, int endpoint) {
        return counts.getOrDefault(endpoint, 0);
    }

    private static void change(Map<Integer, Integer> counts, int endpoint, int by) {
        int now = count(counts, endpoint) + by;
        if (now == 0) {
            counts.remove(endpoint);
        } else {
            counts.put(endpoint, now);
        }
    }

    // What they came through goes
    // ----------------------------------------------------------------------------------------

    /** What came from an address space of an endpoint is answered as invalid. */
    public void forget(int endpoint, int pasid) {
        forget(key -> key.endpoint == endpoint && key.pasid == pasid);
    }

    /** Everything is answered as invalid. */
    public void forgetAll() {
        forget(_ -> true);
    }

    private void forget(Predicate<Key> which) {
        if (heldOf.isEmpty()) {
            return;
        }
        parts.entrySet()
                .removeIf(part -> {
                    boolean is = which.test(part.getKey());
                    if (is) {
                        change(heldOf, part.getKey().endpoint, -part.getValue().size());
                    }
                    return is;
                });
        List<Group> gone = new ArrayList<>();
        for (Group group : open.values()) {
            if (which.test(group.key)) {
                gone.add(group);
            }
        }
        end(gone, invalid);
    }

    /** Nothing of them is here any more when a device hears: it may ask again at once. */
    private void end(List<Group> gone, Count why) {
        if (gone.isEmpty()) {
            return;
        }
        untold.removeAll(Set.copyOf(gone));
        gone.forEach(this::close);
        for (Group group : gone) {
            why.increment();
            group.answer(Response.INVALID);
        }
    }
}
