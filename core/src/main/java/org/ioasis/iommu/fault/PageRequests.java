// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.fault;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
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
 * <p>A driver says of an answer which group it is for, by a number that devices use again. Where we
 * have answered what it has heard of, and it does not know, the number is not used again until the
 * driver's own answer is here: it would be taken for the next group's.
 *
 * <p>Bounded for each endpoint: one that has taken all its room leaves others theirs. Loop thread;
 * counters any.
 */
public final class PageRequests {
    /** Most groups of an endpoint that its driver has not answered. */
    public static final int GROUPS_MAX = 256;

    /** Most requests of an endpoint: of those groups, and of groups whose last has not come. */
    public static final int REQUESTS_MAX = 1024;

    private record Key(int endpoint, int pasid, int group) {
        static Key of(PageRequest request) {
            return new Key(request.endpoint(), request.pasid(), request.group());
        }
    }

    /** A group whose last has not come. */
    private static final class Part {
        private final List<PageRequest> requests = new ArrayList<>();

        /** When its first request came. */
        private final long since;

        Part(long since) {
            this.since = since;
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

    /** How long a driver has; 0: for ever. */
    private final long deadline;

    private final LongSupplier clock;

    // Both in the order of time.
    private final Map<Key, Part> parts = new LinkedHashMap<>();
    private final Map<Key, Group> open = new LinkedHashMap<>();

    /** Groups that the driver has heard of and may answer yet, but that are answered. */
    private final Set<Key> owed = new HashSet<>();

    /** How many groups of an endpoint are open or owed; never 0. */
    private final Map<Integer, Integer> groupsOf = new HashMap<>();

    /** How many requests of an endpoint are kept; never 0. */
    private final Map<Integer, Integer> heldOf = new HashMap<>();

    private final ArrayDeque<Group> untold = new ArrayDeque<>();
    private final Count groups = new Count();
    private final Count answered = new Count();
    private final Count invalid = new Count();
    private final Count refused = new Count();
    private final Count dropped = new Count();
    private final Count expired = new Count();
    private final Count late = new Count();
    private Runnable arrival = () -> {};
    private boolean isAccepting;

    /**
     * @param deadlineNanos how long a driver has from the last request of a group, told or not, and
     *     a device from the first to the last; 0: for ever
     * @param nanoClock does not go back
     */
    public PageRequests(long deadlineNanos, LongSupplier nanoClock) {
        if (deadlineNanos < 0) {
            throw new IllegalArgumentException("deadline of %d ns".formatted(deadlineNanos));
        }
        deadline = deadlineNanos;
        clock = nanoClock;
    }

    /** Groups that a driver has heard of, or will. Any thread. */
    public long groups() {
        return groups.read();
    }

    /** Those that it has answered. Any thread. */
    public long answered() {
        return answered.read();
    }

    /**
     * Those that were answered as invalid, because what they came through went or their device was
     * reset. Any thread.
     */
    public long invalid() {
        return invalid.read();
    }

    /**
     * Groups that no driver hears of: nobody takes them, there is no room, or the driver has not
     * answered another group of this number. Any thread.
     */
    public long refused() {
        return refused.read();
    }

    /**
     * Requests without their group: nobody takes them, there was no room, or the last of it did not
     * come in time. Any thread.
     */
    public long dropped() {
        return dropped.read();
    }

    /** Groups that were answered as invalid because no driver had in time. Any thread. */
    public long expired() {
        return expired.read();
    }

    /** Answers of a driver to groups that were answered already. Any thread. */
    public long late() {
        return late.read();
    }

    /** True while something waits that has a deadline: {@link #expire} is to be called. */
    public boolean isTimed() {
        return deadline != 0 && !heldOf.isEmpty();
    }

    /** Answers as invalid what has waited too long. */
    public void expire() {
        if (!isTimed()) {
            return;
        }
        long now = clock.getAsLong();
        List<Key> endless = new ArrayList<>();
        for (Map.Entry<Key, Part> part : parts.entrySet()) {
            if (!isOver(part.getValue().since, now)) {
                break; // and those behind it came later
            }
            endless.add(part.getKey());
        }
        for (Key key : endless) {
            dropped.add(drop(key));
        }
        List<Group> over = new ArrayList<>();
        for (Group group : open.values()) {
            if (!isOver(group.since, now)) {
                break;
            }
            over.add(group);
        }
        end(over, expired, true);
    }

    private boolean isOver(long since, long now) {
        return now - since > deadline;
    }

    /** Forgets a part of a group; says how many requests those were. */
    private int drop(Key key) {
        Part part = parts.remove(key);
        int size = part == null ? 0 : part.requests.size();
        change(heldOf, key.endpoint, -size);
        return size;
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
            parts.computeIfAbsent(key, _ -> new Part(clock.getAsLong())).requests.add(request);
            change(heldOf, key.endpoint, 1);
            return;
        }
        Part earlier = parts.remove(key);
        List<PageRequest> requests = earlier == null ? new ArrayList<>() : earlier.requests;
        // A number that has no answer yet cannot be told from this one.
        boolean hasPlace =
                isAccepting
                        && count(groupsOf, key.endpoint) < GROUPS_MAX
                        && count(heldOf, key.endpoint) < REQUESTS_MAX
                        && !open.containsKey(key)
                        && !owed.contains(key);
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

    /** False if there is no such group any more, or the driver cannot know of it yet. */
    public boolean answer(int endpoint, int pasid, int group, Response response) {
        expire();
        Key key = new Key(endpoint, pasid, group);
        if (owed.remove(key)) {
            change(groupsOf, endpoint, -1);
            late.increment();
            return false;
        }
        Group found = open.get(key);
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
        forget(key -> key.endpoint == endpoint && key.pasid == pasid, false);
    }

    /** The same in whichever address space of the endpoint. */
    public void forget(int endpoint) {
        forget(key -> key.endpoint == endpoint, false);
    }

    /** Everything is answered as invalid. */
    public void forgetAll() {
        forget(_ -> true, false);
    }

    /**
     * The device of an endpoint was reset: what it has asked for, in any address space, is answered
     * as invalid. Its driver's IOMMU driver knows nothing of that.
     */
    public void deviceReset(int endpoint) {
        forget(key -> key.endpoint == endpoint, true);
    }

    /**
     * @param isAnswerDue the driver still answers what it has heard of
     */
    private void forget(Predicate<Key> which, boolean isAnswerDue) {
        if (!isAnswerDue) {
            owed.removeIf(key -> {
                boolean is = which.test(key);
                if (is) {
                    change(groupsOf, key.endpoint, -1);
                }
                return is;
            });
        }
        if (heldOf.isEmpty()) {
            return;
        }
        for (Key key : List.copyOf(parts.keySet())) {
            if (which.test(key)) {
                int _ = drop(key);
            }
        }
        List<Group> gone = new ArrayList<>();
        for (Group group : open.values()) {
            if (which.test(group.key)) {
                gone.add(group);
            }
        }
        end(gone, invalid, isAnswerDue);
    }

    /** Nothing of them is here any more when a device hears: it may ask again at once. */
    private void end(List<Group> gone, Count why, boolean isAnswerDue) {
        if (gone.isEmpty()) {
            return;
        }
        untold.removeAll(Set.copyOf(gone));
        for (Group group : gone) {
            close(group);
            if (isAnswerDue && group.isTold()) {
                owed.add(group.key);
                change(groupsOf, group.key.endpoint, 1);
            }
        }
        for (Group group : gone) {
            why.increment();
            group.answer(Response.INVALID);
        }
    }
}
