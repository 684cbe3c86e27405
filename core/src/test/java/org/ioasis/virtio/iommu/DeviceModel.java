// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommu.*;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.LongPredicate;
import org.ioasis.memory.Access;
import org.ioasis.memory.Outcome;
import org.jspecify.annotations.Nullable;

/**
 * What a virtio-iommu device has to do, as plainly as it can be said: requests in as bytes, answers
 * and state out. Written from the statements of virtio 1.4, 5.13 (their ids stand beside the lines)
 * and shares no code with the device. Lists and maps only, no care for speed. One thread.
 */
final class DeviceModel {
    /** Fills what the device must not write. */
    static final byte UNTOUCHED = (byte) 0xee;

    /** Faults that are kept for the driver, P-07. */
    static final int FAULTS = 64;

    private static final int LIST = 512;

    enum Kind {
        RESERVED,
        MSI,
        IDENTITY
    }

    record Window(long first, long last, Kind kind) {}

    /**
     * An endpoint.
     *
     * @param mask its page sizes
     * @param told what PROBE says of it, written out by hand
     */
    record Endpoint(long mask, long first, long last, List<Window> windows, List<Window> told) {}

    /** The device as it is made. */
    record Setup(
            long mask,
            long inputFirst,
            long inputLast,
            int domainFirst,
            int domainLast,
            boolean bypassAtStart,
            boolean detachByEndpoint,
            int domainLimit,
            int mappingLimit,
            long offered,
            SortedMap<Integer, Endpoint> endpoints) {}

    record Fault(int reason, int flag, int endpoint, long address) {
        byte[] bytes() {
            return le(FAULT_SIZE)
                    .putInt(reason)
                    .putInt(flag | FAULT_F_ADDRESS)
                    .putInt(endpoint)
                    .putInt(0)
                    .putLong(address)
                    .array();
        }

        boolean isLike(Fault other) {
            return reason == other.reason
                    && flag == other.flag
                    && endpoint == other.endpoint
                    && address >>> 12 == other.address >>> 12;
        }
    }

    /** Used length, and the whole writable buffer. */
    static final class Answer {
        private final int written;
        private final byte[] bytes;

        Answer(int written, byte[] bytes) {
            this.written = written;
            this.bytes = bytes;
        }

        int written() {
            return written;
        }

        byte[] bytes() {
            return bytes;
        }
    }

    private record Mapped(long first, long last, long output, int flags) {
        boolean touches(long otherFirst, long otherLast) {
            return !above(first, otherLast) && !above(otherFirst, last);
        }

        boolean isInside(long otherFirst, long otherLast) {
            return !above(otherFirst, first) && !above(last, otherLast);
        }
    }

    private static final class Domain {
        final boolean isBypass;
        final List<Mapped> mappings = new ArrayList<>();
        long granule;

        Domain(boolean isBypass) {
            this.isBypass = isBypass;
        }
    }

    private final Setup setup;
    private final LongPredicate isRam;
    private final TreeMap<Integer, Integer> attached = new TreeMap<>(Integer::compareUnsigned);
    private final TreeMap<Integer, Domain> domains = new TreeMap<>(Integer::compareUnsigned);
    private final List<Fault> waiting = new ArrayList<>();
    private long negotiated;
    private boolean bypass;

    DeviceModel(Setup setup, LongPredicate isRam) {
        this.setup = setup;
        this.isRam = isRam;
        systemReset();
    }

    private static ByteBuffer le(int size) {
        return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static boolean above(long a, long b) {
        return Long.compareUnsigned(a, b) > 0;
    }

    // --- the life of a driver

    void start(long features) {
        negotiated = features;
        if ((features & F_BYPASS) != 0) {
            bypass = true; // P-11
        }
    }

    /** P-01, D-07. */
    void reset() {
        attached.clear();
        domains.clear();
        waiting.clear();
        negotiated = 0;
        if ((setup.offered & F_BYPASS_CONFIG) == 0) {
            bypass = false;
        }
    }

    /** D-08. */
    void systemReset() {
        bypass = setup.bypassAtStart && (setup.offered & F_BYPASS_CONFIG) != 0;
        reset();
    }

    /** A running driver writes configuration: D-09, and R-03 where it breaks it. */
    void writeConfig(int offset, int size, long value) {
        long low = value & 0xff;
        boolean isThere = offset == CONFIG_BYPASS && size <= CONFIG_SIZE - CONFIG_BYPASS;
        if (isThere && (negotiated & F_BYPASS_CONFIG) != 0 && low <= 1) {
            bypass = low == 1;
        }
    }

    byte[] config() {
        return le(CONFIG_SIZE)
                .putLong(setup.mask)
                .putLong(setup.inputFirst)
                .putLong(setup.inputLast)
                .putInt(setup.domainFirst)
                .putInt(setup.domainLast)
                .putInt((setup.offered & F_PROBE) != 0 ? LIST : 0)
                .put((byte) ((setup.offered & F_BYPASS_CONFIG) != 0 && bypass ? 1 : 0))
                .array();
    }

    // --- requests

    /** What comes back in {@code writable} bytes that held {@link #UNTOUCHED} before. */
    Answer answer(byte[] readable, int writable) {
        byte[] bytes = new byte[writable];
        Arrays.fill(bytes, UNTOUCHED);
        int type = readable.length < HEAD_SIZE ? 0 : readable[0] & 0xff;
        int size =
                switch (type) {
                    case T_ATTACH -> ATTACH_SIZE;
                    case T_DETACH -> DETACH_SIZE;
                    case T_MAP -> MAP_SIZE;
                    case T_UNMAP -> UNMAP_SIZE;
                    case T_PROBE -> (setup.offered & F_PROBE) == 0 ? -1 : PROBE_SIZE; // D-48
                    default -> -1; // D-11, D-12
                };
        if (size < 0 || readable.length < size || writable < TAIL_SIZE) {
            return new Answer(0, bytes); // P-02
        }
        ByteBuffer in = ByteBuffer.wrap(readable).order(ByteOrder.LITTLE_ENDIAN);
        int tail = 0;
        int status;
        if (type == T_PROBE) {
            tail = Math.min(writable - TAIL_SIZE, LIST);
            Arrays.fill(bytes, 0, tail, (byte) 0); // D-54
            status = probe(in.getInt(PROBE_ENDPOINT), bytes, writable);
        } else {
            status =
                    switch (type) {
                        case T_ATTACH -> attach(in);
                        case T_DETACH -> detach(in);
                        case T_MAP -> map(in);
                        default -> unmap(in);
                    };
        }
        bytes[tail] = (byte) status;
        Arrays.fill(bytes, tail + 1, tail + TAIL_SIZE, (byte) 0); // D-14
        return new Answer(tail + TAIL_SIZE, bytes);
    }

    private int attach(ByteBuffer in) {
        int id = in.getInt(ATTACH_DOMAIN);
        int who = in.getInt(ATTACH_ENDPOINT);
        int flags = in.getInt(ATTACH_FLAGS);
        int known = (negotiated & F_BYPASS_CONFIG) != 0 ? ATTACH_F_BYPASS : 0; // P-12
        if (in.getInt(ATTACH_RESERVED) != 0 || (flags & ~known) != 0) {
            return S_INVAL; // D-16, D-17
        }
        Endpoint endpoint = setup.endpoints.get(who);
        if (endpoint == null) {
            return S_NOENT; // D-18
        }
        if (Integer.compareUnsigned(id, setup.domainFirst) < 0
                || Integer.compareUnsigned(id, setup.domainLast) > 0) {
            return S_RANGE; // P-04
        }
        Domain domain = domains.get(id);
        if (domain != null && domain.isBypass != (flags != 0)) {
            return S_INVAL; // D-21
        }
        Integer old = attached.get(who);
        if (old != null && old == id) {
            return S_OK;
        }
        if (!fits(endpoint, id, flags != 0)) {
            return S_UNSUPP; // D-20, D-24, D-26
        }
        if (domain == null) {
            int left = domains.size() - (old != null && members(old).size() == 1 ? 1 : 0);
            if (left >= setup.domainLimit) {
                return S_NOMEM;
            }
        }
        leave(who); // D-22, D-23
        domains.putIfAbsent(id, new Domain(flags != 0));
        attached.put(who, id); // D-27
        return S_OK;
    }

    private List<Endpoint> members(int domain) {
        List<Endpoint> members = new ArrayList<>();
        attached.forEach((who, id) -> {
            if (id == domain) {
                members.add(endpoint(who));
            }
        });
        return members;
    }

    private Endpoint endpoint(int who) {
        Endpoint endpoint = setup.endpoints.get(who);
        if (endpoint == null) {
            throw new IllegalStateException("endpoint " + who);
        }
        return endpoint;
    }

    /** D-25, D-26, T6. */
    private boolean fits(Endpoint newcomer, int id, boolean isBypass) {
        if (isBypass) {
            return true;
        }
        List<Endpoint> all = members(id);
        for (Endpoint other : all) {
            if (exposes(newcomer, other) || exposes(other, newcomer)) {
                return false;
            }
        }
        all.add(newcomer);
        long mask = setup.mask;
        long first = setup.inputFirst;
        long last = setup.inputLast;
        for (Endpoint one : all) {
            mask &= one.mask;
            first = above(one.first, first) ? one.first : first;
            last = above(last, one.last) ? one.last : last;
        }
        if (mask == 0 || above(first, last)) {
            return false;
        }
        Domain domain = domains.get(id);
        if (domain == null || domain.mappings.isEmpty()) {
            return true;
        }
        if (above(Long.lowestOneBit(mask), domain.granule)) {
            return false;
        }
        for (Mapped mapped : domain.mappings) {
            if (!mapped.isInside(first, last)) {
                return false;
            }
            for (Window window : newcomer.windows) {
                if (mapped.touches(window.first, window.last)) {
                    return false;
                }
            }
        }
        return true;
    }

    /** True if some address is an identity region of one and nothing for the other. */
    private static boolean exposes(Endpoint one, Endpoint other) {
        return one.windows.stream()
                .filter(w -> w.kind == Kind.IDENTITY)
                .anyMatch(w ->
                        other.windows.stream()
                                .noneMatch(
                                        o -> !above(o.first, w.first) && !above(w.last, o.last)));
    }

    private void leave(int who) {
        Integer old = attached.remove(who);
        if (old != null && !attached.containsValue(old)) {
            domains.remove(old); // P-05
        }
    }

    private int detach(ByteBuffer in) {
        int who = in.getInt(DETACH_ENDPOINT); // D-28: nothing else is looked at
        if (!setup.endpoints.containsKey(who)) {
            return S_NOENT; // D-29
        }
        Integer old = attached.get(who);
        if (old == null || (old != in.getInt(DETACH_DOMAIN) && !setup.detachByEndpoint)) {
            return S_INVAL; // D-30, T3
        }
        leave(who);
        return S_OK;
    }

    private int map(ByteBuffer in) {
        int id = in.getInt(MAP_DOMAIN);
        long first = in.getLong(MAP_VIRT_START);
        long last = in.getLong(MAP_VIRT_END);
        long output = in.getLong(MAP_PHYS_START);
        int flags = in.getInt(MAP_FLAGS);
        if ((negotiated & F_MAP_UNMAP) == 0) {
            return S_UNSUPP;
        }
        int known = MAP_F_READ | MAP_F_WRITE;
        known |= (negotiated & F_MMIO) != 0 ? MAP_F_MMIO : 0;
        if ((flags & ~known) != 0) {
            return S_INVAL; // D-34
        }
        Domain domain = domains.get(id);
        if (domain == null) {
            return S_NOENT; // D-35
        }
        if (domain.isBypass || above(first, last)) {
            return S_INVAL; // D-36, T1
        }
        long granule = domain.mappings.isEmpty() ? commonGranule(id) : domain.granule;
        boolean isAligned =
                Long.remainderUnsigned(first, granule) == 0
                        && Long.remainderUnsigned(last, granule) == granule - 1
                        && Long.remainderUnsigned(output, granule) == 0;
        if (!isAligned || above(output, output + (last - first))) {
            return S_RANGE; // D-32, P-09
        }
        if (above(setup.inputFirst, first) || above(last, setup.inputLast)) {
            return S_RANGE; // P-03
        }
        for (Endpoint one : members(id)) {
            if (above(one.first, first) || above(last, one.last)) {
                return S_RANGE;
            }
        }
        for (Endpoint one : members(id)) {
            for (Window window : one.windows) {
                if (!above(window.first, last) && !above(first, window.last)) {
                    return S_INVAL; // D-58
                }
            }
        }
        if (domain.mappings.stream().anyMatch(x -> x.touches(first, last))) {
            return S_INVAL; // D-33
        }
        if (mappingCount() >= setup.mappingLimit) {
            return S_NOMEM;
        }
        domain.granule = granule;
        domain.mappings.add(new Mapped(first, last, output, flags));
        return S_OK;
    }

    private long commonGranule(int id) {
        long mask = setup.mask;
        for (Endpoint one : members(id)) {
            mask &= one.mask;
        }
        return Long.lowestOneBit(mask);
    }

    int mappingCount() {
        return domains.values().stream().mapToInt(domain -> domain.mappings.size()).sum();
    }

    private int unmap(ByteBuffer in) {
        if ((negotiated & F_MAP_UNMAP) == 0) {
            return S_UNSUPP;
        }
        if (in.getInt(UNMAP_RESERVED) != 0) {
            return S_INVAL; // D-39, D-40, T4
        }
        Domain domain = domains.get(in.getInt(UNMAP_DOMAIN));
        long first = in.getLong(UNMAP_VIRT_START);
        long last = in.getLong(UNMAP_VIRT_END);
        if (domain == null) {
            return S_NOENT; // D-41
        }
        if (domain.isBypass || above(first, last)) {
            return S_INVAL; // D-42
        }
        if (domain.mappings.stream()
                .anyMatch(x -> x.touches(first, last) && !x.isInside(first, last))) {
            return S_RANGE; // D-43, D-44
        }
        domain.mappings.removeIf(x -> x.isInside(first, last)); // D-45
        return S_OK;
    }

    private int probe(int who, byte[] bytes, int writable) {
        if (writable < LIST + TAIL_SIZE) {
            return S_INVAL; // D-52, D-53
        }
        Endpoint endpoint = setup.endpoints.get(who);
        if (endpoint == null) {
            return S_NOENT; // D-47
        }
        ByteBuffer out = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        for (Window window : endpoint.told) {
            out.putShort((short) PROBE_T_RESV_MEM)
                    .putShort((short) 20) // D-50, D-51
                    .putInt(window.kind == Kind.MSI ? RESV_MEM_T_MSI : RESV_MEM_T_RESERVED)
                    .putLong(window.first)
                    .putLong(window.last);
        }
        return S_OK;
    }

    // --- accesses

    Outcome access(int who, long iova, Access access) {
        Integer id = attached.get(who);
        int flag = access == Access.READ ? FAULT_F_READ : FAULT_F_WRITE;
        if (id == null) {
            return bypass ? reach(iova) : fault(new Fault(FAULT_R_DOMAIN, flag, who, iova)); // D-15
        }
        Domain domain = domains.get(id);
        if (domain == null) {
            throw new IllegalStateException("domain " + id);
        }
        if (domain.isBypass) {
            return reach(iova);
        }
        for (Mapped mapped : domain.mappings) {
            if (mapped.touches(iova, iova)) {
                return (mapped.flags & flag) != 0 // D-37, D-38: the bits have the same values
                        ? reach(mapped.output + (iova - mapped.first))
                        : fault(new Fault(FAULT_R_MAPPING, flag, who, iova));
            }
        }
        for (Window window : endpoint(who).windows) {
            if (window.kind == Kind.IDENTITY
                    && !above(window.first, iova)
                    && !above(iova, window.last)) {
                return reach(iova);
            }
        }
        return fault(new Fault(FAULT_R_MAPPING, flag, who, iova));
    }

    private Outcome reach(long gpa) {
        return isRam.test(gpa) ? Outcome.OK : Outcome.ABSENT; // P-10
    }

    private Outcome fault(Fault fault) {
        if (waiting.size() < FAULTS && waiting.stream().noneMatch(fault::isLike)) {
            waiting.add(fault);
        }
        return Outcome.FAULT;
    }

    /** The oldest fault that the driver has not been told of, or null; it is told now. P-07. */
    @Nullable Fault nextFault() {
        return waiting.isEmpty() ? null : waiting.removeFirst();
    }

    int waitingFaults() {
        return waiting.size();
    }

    // --- state

    /** The same text as the engine's, from this state. */
    String state() {
        StringBuilder out = new StringBuilder("bypass=" + (bypass ? 1 : 0) + "\n");
        setup.endpoints.forEach((who, _) -> {
            Integer id = attached.get(who);
            String where = id == null ? "detached" : "domain " + hex(id);
            out.append("endpoint " + hex(who) + ": " + where + "\n");
        });
        domains.forEach((id, domain) -> {
            out.append("domain " + hex(id) + ": ");
            if (domain.isBypass) {
                out.append("bypass\n");
                return;
            }
            long granule = domain.mappings.isEmpty() ? commonGranule(id) : domain.granule;
            out.append("granule " + hex(granule) + ", " + domain.mappings.size() + " mappings\n");
            domain.mappings.stream()
                    .sorted(Comparator.comparing(Mapped::first, Long::compareUnsigned))
                    .forEach(x -> {
                        String range = hex(x.first) + ".." + hex(x.last);
                        out.append(
                                "  " + range + " -> " + hex(x.output) + " flags " + x.flags + "\n");
                    });
        });
        return out.toString();
    }

    private static String hex(int id) {
        return hex(Integer.toUnsignedLong(id));
    }

    private static String hex(long value) {
        return "0x" + Long.toHexString(value);
    }
}
