// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.virtio.iommu.StateRecords.*;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;
import org.ioasis.iommu.DomainView;
import org.ioasis.iommu.DomainView.MappingView;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.Status;
import org.ioasis.memory.Ranges;
import org.ioasis.spec.VirtioIommu;
import org.jspecify.annotations.Nullable;

/**
 * Reads what a {@link StateJournal} has written, whoever may have written there since: each word
 * once, and it changes nothing. What the records come to is only what they say; whether an IOMMU
 * can have such domains is checked by {@code iommu.Restoration}. Loop thread.
 */
final class StateReader {
    private static final Status[] STATUSES = Status.values();

    /** The answer of the chain that is out at an entry of its log. */
    record Answer(int entry, long number, Status status) {}

    /**
     * What is there.
     *
     * @param half in use
     * @param count records in it
     * @param lastNumber the highest of a chain; 0 if none is named
     */
    record Found(
            int half,
            int count,
            long lastNumber,
            boolean isBypassing,
            List<DomainView> domains,
            List<Answer> answers) {
        Found {
            domains = List.copyOf(domains);
            answers = List.copyOf(answers);
        }
    }

    /** A domain of the records. */
    private static final class Known {
        final boolean isBypass;
        final List<Integer> endpoints = new ArrayList<>();
        final NavigableMap<Long, MappingView> mappings = new TreeMap<>(Long::compareUnsigned);
        long granule;

        Known(boolean isBypass) {
            this.isBypass = isBypass;
        }
    }

    private final MemorySegment region;
    private final Iommu iommu;
    private final Map<Long, Integer> entries = new HashMap<>();
    private final TreeMap<Integer, Known> domains = new TreeMap<>(Integer::compareUnsigned);
    private final Map<Integer, Integer> domainOf = new HashMap<>();
    private final Map<Integer, Answer> answers = new TreeMap<>();
    private boolean isBypassing;
    private long lastNumber;

    private StateReader(MemorySegment region, Iommu iommu, long[] numbersOut) {
        this.region = region;
        this.iommu = iommu;
        isBypassing = iommu.isBypassing();
        for (int entry = 0; entry < numbersOut.length; entry++) {
            if (numbersOut[entry] != 0) {
                entries.put(numbersOut[entry], entry);
            }
        }
    }

    /**
     * @param numbersOut for each entry of the log of chains the number of the chain that is out, or
     *     0: only their answers are of interest
     * @throws RestoreException there is no state, or none that a journal can have written
     */
    static Found read(MemorySegment region, Iommu iommu, long[] numbersOut)
            throws RestoreException {
        return new StateReader(region, iommu, numbersOut).read();
    }

    private Found read() throws RestoreException {
        int capacity = capacity(region.byteSize());
        if (capacity == 0 || get(region, MAGIC_AT) != MAGIC) {
            throw new RestoreException("no state was kept");
        }
        if (get(region, CAPACITY_AT) != capacity) {
            throw new RestoreException("a state for another length of memory");
        }
        if (get(region, LOST_AT) != 0) {
            throw new RestoreException("there was more of it than there is room for");
        }
        long active = get(region, ACTIVE_AT);
        if (active < 0 || active > 1) {
            throw new RestoreException("half %d of two".formatted(active));
        }
        int half = (int) active;
        long count = get(region, countAt(half));
        if (count < 0 || count > capacity) {
            throw new RestoreException("%d records, %d at most".formatted(count, capacity));
        }
        long[] words = new long[WORDS];
        for (int record = 0; record < count; record++) {
            long at = place(capacity, half, record);
            for (int word = 0; word < WORDS; word++) {
                words[word] = get(region, at + (long) word * Long.BYTES);
            }
            String problem = follow(words);
            if (problem != null) {
                throw new RestoreException("record %d: %s".formatted(record, problem));
            }
        }
        List<DomainView> views = new ArrayList<>();
        domains.forEach((id, known) -> views.add(view(id, known)));
        return new Found(
                half,
                (int) count,
                lastNumber,
                isBypassing,
                views,
                new ArrayList<>(answers.values()));
    }

    private DomainView view(int id, Known known) {
        List<Integer> members = new ArrayList<>(known.endpoints);
        members.sort(Integer::compareUnsigned);
        if (!known.isBypass && known.mappings.isEmpty()) {
            known.granule = commonGranule(known);
        }
        return new DomainView(
                Integer.toUnsignedLong(id),
                known.isBypass,
                known.granule,
                members,
                known.mappings.size(),
                new ArrayList<>(known.mappings.values()));
    }

    // --- one record

    private @Nullable String follow(long[] words) {
        int kind = (int) (words[0] & 0xff);
        int statusNumber = (int) (words[0] >>> 8 & 0xff_ffff);
        int flags = (int) (words[0] >>> Integer.SIZE);
        Status status = status(statusNumber);
        if (status == null) {
            return "status %d".formatted(statusNumber);
        }
        String problem = status == Status.OK ? apply(kind, flags, words) : refused(kind);
        return problem != null ? problem : noteAnswer(words[1], status);
    }

    private static @Nullable Status status(int number) {
        for (Status status : STATUSES) {
            if (Wire.status(status) == number) {
                return status;
            }
        }
        return null;
    }

    private static @Nullable String refused(int kind) {
        boolean isKnown = (kind >= ATTACH && kind <= UNMAP) || kind == ANSWER;
        return isKnown ? null : "kind %d that is refused".formatted(kind);
    }

    private @Nullable String noteAnswer(long number, Status status) {
        if (number < 0) {
            return "chain number 0x%x".formatted(number);
        }
        lastNumber = Math.max(lastNumber, number);
        Integer entry = entries.get(number);
        if (entry != null) {
            answers.put(entry, new Answer(entry, number, status));
        }
        return null;
    }

    private @Nullable String apply(int kind, int flags, long[] words) {
        int endpoint = (int) words[2];
        int domain = (int) (words[2] >>> Integer.SIZE);
        return switch (kind) {
            case ATTACH -> attach(endpoint, domain, (flags & VirtioIommu.ATTACH_F_BYPASS) != 0);
            case DETACH -> detach(endpoint);
            case MAP -> map(domain, words[3], words[4], words[5], flags);
            case UNMAP -> unmap(domain, words[3], words[4]);
            case BYPASS -> {
                isBypassing = flags != 0;
                yield null;
            }
            case GRANULE -> granule(domain, words[3]);
            case ANSWER -> null;
            default -> "kind %d".formatted(kind);
        };
    }

    private @Nullable String attach(int endpoint, int domain, boolean isBypass) {
        if (iommu.endpoint(endpoint) == null) {
            return "endpoint 0x%x is not there".formatted(endpoint);
        }
        Integer old = domainOf.get(endpoint);
        if (old != null && old == domain) {
            return null;
        }
        Known known = domains.computeIfAbsent(domain, _ -> new Known(isBypass));
        if (known.isBypass != isBypass) {
            return "domain 0x%x is of another kind".formatted(domain);
        }
        if (old != null) {
            leave(endpoint, old);
        }
        known.endpoints.add(endpoint);
        domainOf.put(endpoint, domain);
        return null;
    }

    private @Nullable String detach(int endpoint) {
        Integer old = domainOf.remove(endpoint);
        if (old == null) {
            return "endpoint 0x%x is not attached".formatted(endpoint);
        }
        leave(endpoint, old);
        return null;
    }

    private void leave(int endpoint, int domain) {
        Known known = domains.get(domain);
        if (known != null) {
            known.endpoints.remove(Integer.valueOf(endpoint));
            if (known.endpoints.isEmpty()) {
                domains.remove(domain);
            }
        }
    }

    private @Nullable Known paging(int domain) {
        Known known = domains.get(domain);
        return known == null || known.isBypass ? null : known;
    }

    private @Nullable String granule(int domain, long granule) {
        Known known = paging(domain);
        if (known == null || !known.mappings.isEmpty()) {
            return "no domain 0x%x without mappings".formatted(domain);
        }
        known.granule = granule;
        return null;
    }

    private @Nullable String map(int domain, long first, long last, long output, int flags) {
        Known known = paging(domain);
        if (known == null) {
            return "no domain 0x%x with mappings".formatted(domain);
        }
        Map.Entry<Long, MappingView> before = known.mappings.floorEntry(last);
        if (Ranges.isBelow(last, first)
                || (before != null && !Ranges.isBelow(before.getValue().last(), first))) {
            return "mapping 0x%x..0x%x in domain 0x%x".formatted(first, last, domain);
        }
        if (known.mappings.isEmpty() && known.granule == 0) {
            known.granule = commonGranule(known);
        }
        known.mappings.put(first, new MappingView(first, last, output, flags));
        return null;
    }

    private @Nullable String unmap(int domain, long first, long last) {
        Known known = paging(domain);
        if (known == null || Ranges.isBelow(last, first)) {
            return "no domain 0x%x to unmap 0x%x..0x%x of".formatted(domain, first, last);
        }
        Map.Entry<Long, MappingView> before = known.mappings.lowerEntry(first);
        Map.Entry<Long, MappingView> end = known.mappings.floorEntry(last);
        if ((before != null && !Ranges.isBelow(before.getValue().last(), first))
                || (end != null && Ranges.isBelow(last, end.getValue().last()))) {
            return "0x%x..0x%x cuts a mapping of domain 0x%x".formatted(first, last, domain);
        }
        known.mappings.subMap(first, true, last, true).clear();
        if (known.mappings.isEmpty()) {
            known.granule = 0;
        }
        return null;
    }

    /** What the mappings of a domain are aligned to when there is none yet. */
    private long commonGranule(Known known) {
        long mask = iommu.options().pageSizeMask();
        for (int id : known.endpoints) {
            Endpoint endpoint = iommu.endpoint(id);
            long pages = endpoint == null ? 0 : endpoint.properties().pageSizeMask();
            mask &= pages == 0 ? -1L : pages;
        }
        return Long.lowestOneBit(mask);
    }
}
