// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import static org.ioasis.sweep.Trace.END;
import static org.ioasis.sweep.Trace.MAP;
import static org.ioasis.sweep.Trace.READ;
import static org.ioasis.sweep.Trace.UNMAP;
import static org.ioasis.sweep.Trace.UNMAPPED;
import static org.ioasis.sweep.Trace.WRITE;

import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import org.ioasis.record.Row;

/**
 * Makes a {@link Trace} of rows, in their order, and refuses what no recorder writes: whoever wrote
 * the file, what is kept of it is bounded. One thread.
 *
 * <p>Domains begin and end as virtio-iommu has it: the first ATTACH makes one, and with its last
 * endpoint it ends (virtio 1.4, 5.13.6.3 and 5.13.6.4). Once events were lost, what does not fit is
 * left out and counted instead.
 */
public final class TraceBuilder {
    /** Operations of a trace: a minute of a busy guest ({@link Room} has what that takes). */
    public static final int OPERATIONS_MAX = 1 << 22;

    /** Buffers of a trace, of which all may be mapped at a time. */
    public static final int BUFFERS_MAX = 1 << 20;

    /** Domains at a time: each costs an allocator of addresses and a top table. */
    public static final int DOMAINS_MAX = 1024;

    /** Endpoints and address spaces of them that are attached at a time. */
    public static final int ATTACHED_MAX = 1 << 16;

    /** Bytes of an access: as many as a descriptor can say (virtio 1.4, 2.7.5). */
    public static final long ACCESS_MAX = 1L << 32;

    private static final int READ_FLAG = 1;
    private static final int WRITE_FLAG = 2;
    private static final Comparator<Domain> BY_INDEX =
            Comparator.comparingInt(domain -> domain.index);

    /** A domain with what is mapped in it, by the first address with its top bit turned. */
    private static final class Domain {
        final int index;
        final TreeMap<Long, Integer> buffers = new TreeMap<>();
        long endpoints;

        Domain(int index) {
            this.index = index;
        }
    }

    /** Who is attached: a device, or one of its address spaces. */
    private record Who(long endpoint, long pasid) {}

    /** What the numbers of domains and endpoints are of. */
    private static final class Numbers {
        final Map<Long, Domain> domains = new HashMap<>();
        final Map<Who, Long> attached = new HashMap<>();
        long time;
    }

    private final int operationsMax;
    private final int buffersMax;
    private final Map<String, Numbers> iommus = new HashMap<>();
    private int domainsNow;
    private int attachedNow;
    private int domainsMade;

    private byte[] kinds = new byte[1024];
    private int[] subjects = new int[1024];
    private long[] times = new long[1024];
    private long[] offsets = new long[1024];
    private long[] lengths = new long[1024];
    private int[] rowOf = new int[1024];
    private int count;

    private int[] domainOf = new int[256];
    private long[] firsts = new long[256];
    private long[] outputs = new long[256];
    private long[] lasts = new long[256];
    private byte[] rights = new byte[256];
    private int buffers;

    private long rows;
    private long time;
    private long refused;
    private long faults;
    private long outside;
    private long lost;

    public TraceBuilder() {
        this(OPERATIONS_MAX, BUFFERS_MAX);
    }

    TraceBuilder(int operationsMax, int buffersMax) {
        this.operationsMax = operationsMax;
        this.buffersMax = buffersMax;
    }

    /**
     * @throws TraceException the row cannot follow those before it
     */
    public void add(Row row) throws TraceException {
        Numbers its = numbers(row);
        if (row.time() < its.time) {
            throw refusal("time %d ns follows %d".formatted(row.time(), its.time));
        }
        its.time = row.time();
        // Machines are written one after the other, each as far as it has come.
        time = Math.max(time, row.time());
        switch (row.event()) {
            case MAP, UNMAP, ATTACH, DETACH, TABLE -> request(row);
            case ACCESS -> access(row);
            case FAULT -> faults++;
            case RESET -> reset(its);
            case LOST -> lost += Math.max(1, row.lost());
            case BYPASS, START, STOP -> {}
        }
        rows++;
    }

    private TraceException refusal(String message) {
        return TraceException.at(rows, message);
    }

    private void request(Row row) throws TraceException {
        if (!"OK".equals(row.status())) {
            refused++;
            return;
        }
        switch (row.event()) {
            case MAP -> map(row);
            case UNMAP -> unmap(row);
            case ATTACH -> attach(row);
            default -> detach(numbers(row), who(row));
        }
    }

    // Domains
    // ---------------------------------------------------------------------------------------------

    private Numbers numbers(Row row) {
        return iommus.computeIfAbsent(row.iommu(), _ -> new Numbers());
    }

    private static Who who(Row row) {
        return new Who(row.endpoint(), row.pasid());
    }

    private Domain domain(Row row) throws TraceException {
        Map<Long, Domain> domains = numbers(row).domains;
        Domain known = domains.get(row.domain());
        if (known != null) {
            return known;
        }
        if (domainsNow == DOMAINS_MAX) {
            throw refusal("more than %d domains at a time".formatted(DOMAINS_MAX));
        }
        Domain made = new Domain(domainsMade++);
        domains.put(row.domain(), made);
        domainsNow++;
        return made;
    }

    private void attach(Row row) throws TraceException {
        Numbers numbers = numbers(row);
        Who who = who(row);
        Long before = numbers.attached.get(who);
        if (before != null && before == row.domain()) {
            return;
        }
        detach(numbers, who);
        if (attachedNow == ATTACHED_MAX) {
            throw refusal("more than %d endpoints are attached".formatted(ATTACHED_MAX));
        }
        domain(row).endpoints++;
        numbers.attached.put(who, row.domain());
        attachedNow++;
    }

    private void detach(Numbers numbers, Who who) throws TraceException {
        Long id = numbers.attached.remove(who);
        if (id == null) {
            return;
        }
        attachedNow--;
        Domain domain = numbers.domains.get(id);
        if (domain != null && --domain.endpoints == 0) {
            numbers.domains.remove(id);
            end(domain);
        }
    }

    private void end(Domain domain) throws TraceException {
        domainsNow--;
        operation(END, domain.index, 0, 0);
    }

    private void reset(Numbers numbers) throws TraceException {
        for (Domain domain : numbers.domains.values().stream().sorted(BY_INDEX).toList()) {
            end(domain);
        }
        attachedNow -= numbers.attached.size();
        numbers.domains.clear();
        numbers.attached.clear();
    }

    // Mappings
    // ---------------------------------------------------------------------------------------------

    private static long key(long address) {
        return address ^ Long.MIN_VALUE;
    }

    private static boolean isAfter(long a, long b) {
        return Long.compareUnsigned(a, b) > 0;
    }

    private long last(int buffer) {
        return firsts[buffer] + lasts[buffer];
    }

    private void checkOrder(Row row) throws TraceException {
        if (isAfter(row.first(), row.last())) {
            throw refusal(
                    "%s of 0x%x..0x%x, which is reversed"
                            .formatted(row.event(), row.first(), row.last()));
        }
    }

    /** The buffer that has the address, or the last one below it; -1 for none. */
    private static int at(Domain domain, long address) {
        Map.Entry<Long, Integer> entry = domain.buffers.floorEntry(key(address));
        return entry == null ? -1 : entry.getValue();
    }

    private void map(Row row) throws TraceException {
        checkOrder(row);
        long bytesLess1 = row.last() - row.first();
        if (isAfter(row.output(), row.output() + bytesLess1)) {
            throw refusal(
                    "MAP of 0x%x..0x%x to 0x%x, which wraps around"
                            .formatted(row.first(), row.last(), row.output()));
        }
        Domain domain = domain(row);
        int there = at(domain, row.last());
        while (there >= 0 && !isAfter(row.first(), last(there))) {
            if (lost == 0) {
                throw refusal(
                        "MAP of 0x%x..0x%x, where 0x%x..0x%x is mapped already"
                                .formatted(row.first(), row.last(), firsts[there], last(there)));
            }
            remove(domain, there);
            operation(UNMAPPED, domain.index, 0, 0);
            there = at(domain, row.last());
        }
        if (buffers == buffersMax) {
            throw refusal("more than %d buffers up to here".formatted(buffersMax));
        }
        if (buffers == firsts.length) {
            int room = 2 * buffers;
            domainOf = Arrays.copyOf(domainOf, room);
            firsts = Arrays.copyOf(firsts, room);
            outputs = Arrays.copyOf(outputs, room);
            lasts = Arrays.copyOf(lasts, room);
            rights = Arrays.copyOf(rights, room);
        }
        operation(MAP, buffers, 0, 0);
        domainOf[buffers] = domain.index;
        firsts[buffers] = row.first();
        outputs[buffers] = row.output();
        lasts[buffers] = bytesLess1;
        rights[buffers] = (byte) (row.flags() & (READ_FLAG | WRITE_FLAG));
        domain.buffers.put(key(row.first()), buffers);
        buffers++;
    }

    private void remove(Domain domain, int buffer) throws TraceException {
        domain.buffers.remove(key(firsts[buffer]));
        operation(UNMAP, buffer, 0, 0);
    }

    private void unmap(Row row) throws TraceException {
        checkOrder(row);
        Domain domain = numbers(row).domains.get(row.domain());
        if (domain == null) {
            return;
        }
        refuseSplit(row, at(domain, row.first()));
        refuseSplit(row, at(domain, row.last()));
        int removed = 0;
        Map.Entry<Long, Integer> next = domain.buffers.ceilingEntry(key(row.first()));
        while (next != null && !isAfter(last(next.getValue()), row.last())) {
            remove(domain, next.getValue());
            removed++;
            next = domain.buffers.ceilingEntry(key(row.first()));
        }
        if (removed > 0) {
            operation(UNMAPPED, domain.index, 0, 0);
        }
    }

    private void refuseSplit(Row row, int buffer) throws TraceException {
        if (buffer < 0 || lost > 0 || isAfter(row.first(), last(buffer))) {
            return;
        }
        if (isAfter(row.first(), firsts[buffer]) || isAfter(last(buffer), row.last())) {
            throw refusal(
                    "UNMAP of 0x%x..0x%x, which splits 0x%x..0x%x of domain %s"
                            .formatted(
                                    row.first(),
                                    row.last(),
                                    firsts[buffer],
                                    last(buffer),
                                    row.domain()));
        }
    }

    // Accesses
    // ---------------------------------------------------------------------------------------------

    private void access(Row row) throws TraceException {
        checkOrder(row);
        if (row.flags() != READ_FLAG && row.flags() != WRITE_FLAG) {
            throw refusal("ACCESS with flags %d: READ is 1 and WRITE 2".formatted(row.flags()));
        }
        if (Long.compareUnsigned(row.last() - row.first(), ACCESS_MAX) >= 0) {
            throw refusal(
                    "ACCESS to 0x%x..0x%x, which no descriptor can ask for"
                            .formatted(row.first(), row.last()));
        }
        Domain domain = numbers(row).domains.get(row.domain());
        if (domain == null || !pieces(domain, row)) {
            outside++;
        }
    }

    /** Says whether all of it is in buffers that allow it. */
    private boolean pieces(Domain domain, Row row) throws TraceException {
        byte kind = row.flags() == READ_FLAG ? READ : WRITE;
        boolean isAll = true;
        long from = row.first();
        while (true) {
            int buffer = at(domain, from);
            if (buffer >= 0 && !isAfter(from, last(buffer))) {
                long to = isAfter(last(buffer), row.last()) ? row.last() : last(buffer);
                if ((rights[buffer] & row.flags()) == 0) {
                    isAll = false;
                } else {
                    operation(kind, buffer, from - firsts[buffer], to - from + 1);
                }
                if (to == row.last()) {
                    return isAll;
                }
                from = to + 1;
                continue;
            }
            isAll = false;
            Map.Entry<Long, Integer> next = domain.buffers.ceilingEntry(key(from));
            if (next == null || isAfter(firsts[next.getValue()], row.last())) {
                return isAll;
            }
            from = firsts[next.getValue()];
        }
    }

    private void operation(byte kind, int subject, long offset, long length) throws TraceException {
        if (count == operationsMax) {
            throw refusal("more than %d operations up to here".formatted(operationsMax));
        }
        if (count == kinds.length) {
            int room = 2 * count;
            kinds = Arrays.copyOf(kinds, room);
            subjects = Arrays.copyOf(subjects, room);
            times = Arrays.copyOf(times, room);
            offsets = Arrays.copyOf(offsets, room);
            lengths = Arrays.copyOf(lengths, room);
            rowOf = Arrays.copyOf(rowOf, room);
        }
        kinds[count] = kind;
        subjects[count] = subject;
        times[count] = time;
        offsets[count] = offset;
        lengths[count] = length;
        rowOf[count] = (int) Math.min(rows, Integer.MAX_VALUE);
        count++;
    }

    /** What was added so far; no more may be. */
    public Trace build() {
        // One after the other, so that there is never all of it twice.
        kinds = Arrays.copyOf(kinds, count);
        subjects = Arrays.copyOf(subjects, count);
        times = Arrays.copyOf(times, count);
        offsets = Arrays.copyOf(offsets, count);
        lengths = Arrays.copyOf(lengths, count);
        rowOf = Arrays.copyOf(rowOf, count);
        domainOf = Arrays.copyOf(domainOf, buffers);
        outputs = Arrays.copyOf(outputs, buffers);
        lasts = Arrays.copyOf(lasts, buffers);
        rights = Arrays.copyOf(rights, buffers);
        Trace.Operations operations =
                new Trace.Operations(kinds, subjects, times, offsets, lengths, rowOf);
        Trace.Buffers all = new Trace.Buffers(domainOf, outputs, lasts, rights);
        return new Trace(
                operations,
                all,
                domainsMade,
                new Trace.Notes(rows, refused, faults, outside, lost));
    }
}
