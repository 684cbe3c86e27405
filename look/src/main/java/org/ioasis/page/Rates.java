// SPDX-License-Identifier: Apache-2.0
package org.ioasis.page;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongSupplier;
import org.ioasis.iommu.DomainView;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.PagingDomain;
import org.ioasis.iommu.mapping.Extent;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.machine.EndpointDevice;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;

/**
 * How much each IOMMU does, sampled now and then from the counters that it has anyway; and how long
 * a translation takes, by making some. Bounded. One thread.
 */
final class Rates {
    /** Samples that are kept of each IOMMU. */
    static final int KEPT = 300;

    /** Look-ups of which one sample's latency is made. */
    static final int LOOKUPS = 64;

    private static final int DOMAINS = 8;

    /**
     * What an IOMMU did, by the second.
     *
     * @param millis since the epoch
     * @param lookupNanos of one look-up of a mapped address, on the machine's loop; -1 if nothing
     *     is mapped
     * @param answers how long requests took from their ring to their answer, in nanoseconds
     */
    record Sample(
            long millis,
            double requests,
            double translations,
            double faults,
            double lookupNanos,
            Delay.Taken answers) {}

    private record Counts(long nanos, long requests, long translations, long faults) {}

    private final List<Machine> machines;
    private final Watch watch;
    private final LongSupplier nanoTime;
    private final Map<String, Counts> before = new HashMap<>();
    private final Map<String, Deque<Sample>> samples = new LinkedHashMap<>();

    Rates(List<Machine> machines, Watch watch, LongSupplier nanoTime) {
        this.machines = machines;
        this.watch = watch;
        this.nanoTime = nanoTime;
    }

    /** Forgets all. */
    void clear() {
        before.clear();
        samples.clear();
    }

    /** Takes a sample of each IOMMU, but the first time. */
    void take(long millis) {
        for (Machine machine : machines) {
            for (IommuUnit unit : machine.iommus()) {
                String who = machine.name() + "/" + unit.name();
                Counts now = counts(unit, nanoTime.getAsLong());
                Counts then = before.put(who, now);
                Deque<Sample> ring = samples.computeIfAbsent(who, _ -> new ArrayDeque<>());
                if (then == null || now.nanos <= then.nanos) {
                    continue;
                }
                double seconds = (now.nanos - then.nanos) / 1e9;
                if (ring.size() == KEPT) {
                    ring.removeFirst();
                }
                ring.addLast(
                        new Sample(
                                millis,
                                (now.requests - then.requests) / seconds,
                                (now.translations - then.translations) / seconds,
                                (now.faults - then.faults) / seconds,
                                lookup(machine, unit),
                                watch.delay(who).take()));
            }
        }
    }

    private static Counts counts(IommuUnit unit, long nanos) {
        EndpointCounts sum = EndpointCounts.ZERO;
        for (EndpointDevice device : unit.devices()) {
            sum = sum.plus(device.accesses());
        }
        return new Counts(nanos, unit.device().counts().total(), sum.translations(), sum.faults());
    }

    private double lookup(Machine machine, IommuUnit unit) {
        double[] nanos = {-1};
        boolean _ = machine.onLoop(() -> nanos[0] = lookup(unit));
        return nanos[0];
    }

    /** Loop thread, which changes the mappings: nothing goes away meanwhile. */
    private double lookup(IommuUnit unit) {
        List<Translation> translations = new ArrayList<>();
        List<Long> addresses = new ArrayList<>();
        for (DomainView domain : unit.engine().domains(DOMAINS, LOOKUPS / DOMAINS)) {
            PagingDomain paging = unit.engine().findPaging((int) domain.id());
            if (paging != null) {
                for (DomainView.MappingView mapping : domain.mappings()) {
                    translations.add(paging.translation());
                    addresses.add(mapping.first());
                }
            }
        }
        int found = 0;
        Extent extent = new Extent();
        long began = nanoTime.getAsLong();
        for (int i = 0; i < addresses.size(); i++) {
            found += translations.get(i).lookup(addresses.get(i), extent) ? 1 : 0;
        }
        return found == 0 ? -1 : (double) (nanoTime.getAsLong() - began) / found;
    }

    /** Samples of each IOMMU that are newer than a time, the oldest first. */
    Map<String, List<Sample>> after(long millis) {
        Map<String, List<Sample>> newer = new LinkedHashMap<>();
        samples.forEach((who, ring) -> {
            List<Sample> list = new ArrayList<>();
            for (Sample sample : ring) {
                if (sample.millis > millis) {
                    list.add(sample);
                }
            }
            newer.put(who, list);
        });
        return newer;
    }
}
