// SPDX-License-Identifier: Apache-2.0
package org.ioasis.page;

import java.time.InstantSource;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.iommu.DomainView;
import org.ioasis.iommu.Status;
import org.ioasis.live.Entry;
import org.ioasis.live.Linker;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.virtio.iommu.IommuObserver;
import org.ioasis.virtio.iommu.IommuRequest;

/**
 * What has happened at the IOMMUs of late, each kind of it in a ring of bounded length. Devices
 * never wait for it: what the queue has no room for is counted. Observers for any thread; the rest
 * under the lock of this object.
 */
final class Watch {
    /** Entries that may wait to be looked at. */
    static final int QUEUE = 8192;

    static final int REQUESTS = 1000;
    static final int FAULTS = 200;

    /** UNMAPs that are remembered to be shown, over all domains of an IOMMU. */
    static final int UNMAPS = 256;

    /** Domains of an IOMMU of which it is known at the beginning who is attached. */
    private static final int DOMAINS = 256;

    /** An entry with its number, which grows by one with each that is kept. */
    record Numbered(long number, Entry.Timed timed) {}

    private final List<Machine> machines;
    private final InstantSource clock;
    private final ArrayBlockingQueue<Entry.Timed> queue = new ArrayBlockingQueue<>(QUEUE);
    private final AtomicLong lost = new AtomicLong();
    private final Map<IommuUnit, IommuObserver> observers = new HashMap<>();

    /** How long requests took, by IOMMU. */
    private final Map<String, Delay> delays = new ConcurrentHashMap<>();

    private Linker linker = new Linker();
    private long next = 1;
    private final Deque<Numbered> requests = new ArrayDeque<>();
    private final Deque<Numbered> faults = new ArrayDeque<>();
    private final Map<String, Deque<Numbered>> unmaps = new HashMap<>();

    Watch(List<Machine> machines, InstantSource clock) {
        this.machines = machines;
        this.clock = clock;
    }

    /** Begins to watch; on a machine that does not answer, when it does. */
    synchronized void begin() {
        for (Machine machine : machines) {
            for (IommuUnit unit : machine.iommus()) {
                begin(machine, unit, machine.name() + "/" + unit.name());
            }
        }
    }

    private void begin(Machine machine, IommuUnit unit, String who) {
        IommuObserver before = observers.get(unit);
        IommuObserver observer =
                before == null
                        ? Entry.observer(
                                entry -> add(who, entry), System::nanoTime, delay(who)::add)
                        : before;
        List<DomainView> there = new ArrayList<>();
        boolean isWatched =
                machine.onLoop(() -> {
                    if (before == null) {
                        unit.watch(observer);
                    }
                    there.addAll(unit.engine().domains(DOMAINS, 0));
                });
        if (isWatched) {
            observers.put(unit, observer);
            for (DomainView domain : there) {
                for (int endpoint : domain.endpoints()) {
                    linker.attached(who, endpoint, (int) domain.id());
                }
            }
        }
    }

    /** Ends it, and forgets what there was; on a machine that does not answer, the next time. */
    synchronized void end() {
        for (Machine machine : machines) {
            for (IommuUnit unit : machine.iommus()) {
                IommuObserver observer = observers.get(unit);
                if (observer != null && machine.onLoop(() -> unit.unwatch(observer))) {
                    observers.remove(unit);
                }
            }
        }
        queue.clear();
        linker = new Linker();
        requests.clear();
        faults.clear();
        unmaps.clear();
    }

    synchronized boolean isOn() {
        return !observers.isEmpty();
    }

    void add(String who, Entry entry) {
        if (!queue.offer(new Entry.Timed(clock.instant(), who, entry))) {
            lost.incrementAndGet();
        }
    }

    /** How long the requests to an IOMMU took. Any thread. */
    Delay delay(String who) {
        return delays.computeIfAbsent(who, _ -> new Delay());
    }

    /** Entries that found the queue full. */
    long lost() {
        return lost.get();
    }

    /** Takes what has come since the last time, at most as much as waits at once. */
    synchronized void drain() {
        for (int i = 0; i < QUEUE; i++) {
            Entry.Timed timed = queue.poll();
            if (timed == null) {
                return;
            }
            keep(linker.linked(timed));
        }
    }

    private void keep(Entry.Timed timed) {
        Numbered numbered = new Numbered(next++, timed);
        if (timed.entry() instanceof Entry.Refused) {
            push(faults, FAULTS, numbered);
            return;
        }
        push(requests, REQUESTS, numbered);
        if (timed.entry() instanceof Entry.Answered(IommuRequest.Unmap _, Status status, String _)
                && status == Status.OK) {
            push(unmaps.computeIfAbsent(timed.who(), _ -> new ArrayDeque<>()), UNMAPS, numbered);
        }
    }

    private static void push(Deque<Numbered> ring, int limit, Numbered numbered) {
        if (ring.size() == limit) {
            ring.removeFirst();
        }
        ring.addLast(numbered);
    }

    /** The last requests, and what else happened but faults, that came after a number. */
    synchronized List<Numbered> requestsAfter(long number) {
        return after(requests, number);
    }

    /** The last refused accesses that came after a number. */
    synchronized List<Numbered> faultsAfter(long number) {
        return after(faults, number);
    }

    /** The last UNMAPs of an IOMMU, the oldest first. */
    synchronized List<Numbered> unmaps(String who) {
        return List.copyOf(unmaps.getOrDefault(who, new ArrayDeque<>()));
    }

    private static List<Numbered> after(Deque<Numbered> ring, long number) {
        List<Numbered> newer = new ArrayList<>();
        for (Numbered one : ring) {
            if (one.number() > number) {
                newer.add(one);
            }
        }
        return newer;
    }
}
