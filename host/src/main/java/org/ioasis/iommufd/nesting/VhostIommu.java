// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.nesting;

import static org.ioasis.spec.VirtioIommuTables.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import org.ioasis.iommufd.FaultQueue;
import org.ioasis.iommufd.Handled;
import org.ioasis.iommufd.InvalidationRefusal;
import org.ioasis.iommufd.PageRequests;
import org.ioasis.iommufd.Vdevice;
import org.ioasis.spec.Iommufd;
import org.ioasis.spec.IommufdNesting;
import org.ioasis.spec.VirtioIommu;
import org.jspecify.annotations.Nullable;

/**
 * Requests of a guest's virtio-iommu that has tables of its own, divided by how often they come: to
 * invalidate, to hear of page requests and to answer them takes no call of whoever owns the
 * machine; to attach a table and to probe is that one's, who knows what a table is at this host.
 * One thread, that of the machine's rings.
 */
public final class VhostIommu {
    private static final ValueLayout.OfInt INT =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** Who owns the machine: asked for all that is not in a hurry. */
    public interface Owner {
        /**
         * Carries a request out.
         *
         * @param request without its tail
         * @return a status of virtio-iommu, for the tail
         */
        int request(MemorySegment request);
    }

    /** Where invalidations of a domain go: a vIOMMU, or a guest's table. */
    public interface Target {
        /** As {@link org.ioasis.iommufd.Invalidator#invalidate}. */
        long invalidate(int type, MemorySegment entries, long offset, int entryLength, int count);
    }

    /** A group that the guest is to answer. */
    private record Key(int endpoint, int pasid, int group) {}

    /** What a page request says, on its way to a buffer of the guest's. */
    private record Event(int endpoint, PageRequests.Request request) {}

    private final Owner owner;
    private final FaultQueue faults;
    private final Map<Integer, Target> targets = new HashMap<>();
    private final Map<Key, Integer> open = new HashMap<>();
    private final Deque<Event> events = new ArrayDeque<>();
    private long invalidations;
    private long pageRequests;
    private long responses;
    private long ownersRequests;

    /**
     * @param faults what the guest's tables were made with
     */
    public VhostIommu(Owner owner, FaultQueue faults) {
        this.owner = owner;
        this.faults = faults;
    }

    /** Invalidations of a domain go there from now on: its owner has attached a table. */
    public void route(int domain, Target target) {
        targets.put(domain, target);
    }

    /** A domain has no table any more. */
    public void unroute(int domain) {
        targets.remove(domain);
    }

    /** Invalidations that were carried out, or refused, without a call of the owner. */
    public long invalidations() {
        return invalidations;
    }

    /** Page requests that reached a buffer of the guest's without a call of the owner. */
    public long pageRequests() {
        return pageRequests;
    }

    /** Answers to page requests that came in without a call of the owner. */
    public long responses() {
        return responses;
    }

    /** Requests that the owner was called for. */
    public long ownersRequests() {
        return ownersRequests;
    }

    /**
     * Carries out a request where it is.
     *
     * @param request the part that the guest has written
     * @return a status of virtio-iommu, for the tail
     */
    public int request(MemorySegment request) {
        if (request.byteSize() < VirtioIommu.HEAD_SIZE) {
            return VirtioIommu.S_INVAL;
        }
        return switch (request.get(ValueLayout.JAVA_BYTE, 0)) {
            case T_INVALIDATE -> invalidate(request);
            case T_PAGE_RESPONSE -> respond(request);
            default -> {
                ownersRequests++;
                yield owner.request(request);
            }
        };
    }

    private int invalidate(MemorySegment request) {
        invalidations++;
        if (request.byteSize() < INVALIDATE_TAIL) {
            return VirtioIommu.S_INVAL;
        }
        Target target = targets.get(request.get(INT, INVALIDATE_DOMAIN));
        if (target == null) {
            return VirtioIommu.S_NOENT;
        }
        long handled =
                target.invalidate(IommufdNesting.INVALIDATE_VIRTIO, request, 0, INVALIDATE_TAIL, 1);
        return status(Handled.refusal(handled));
    }

    private static int status(@Nullable InvalidationRefusal refusal) {
        return switch (refusal) {
            case null -> VirtioIommu.S_OK;
            case UNSUPPORTED -> VirtioIommu.S_UNSUPP;
            case RANGE -> VirtioIommu.S_RANGE;
            case DEVICE, NO_DEVICE -> VirtioIommu.S_NOENT;
            case TYPE, NONE, SHORT, TAIL, UNREADABLE, FLAG, VALUE, ALIGNMENT, COMMAND ->
                    VirtioIommu.S_INVAL;
        };
    }

    private int respond(MemorySegment request) {
        responses++;
        if (request.byteSize() < RESPONSE_TAIL) {
            return VirtioIommu.S_INVAL;
        }
        int flags = request.get(INT, RESPONSE_FLAGS);
        int code = Short.toUnsignedInt(request.get(SHORT, RESPONSE_CODE));
        if ((flags & ~RESPONSE_PASID_VALID) != 0 || code > CODE_FAILURE) {
            return VirtioIommu.S_INVAL;
        }
        boolean hasPasid = (flags & RESPONSE_PASID_VALID) != 0;
        Key key =
                new Key(
                        request.get(INT, RESPONSE_ENDPOINT),
                        hasPasid ? request.get(INT, RESPONSE_PASID) : 0,
                        request.get(INT, RESPONSE_GROUP));
        Integer cookie = open.remove(key);
        // One that was answered meanwhile, because its table is gone, is unknown there too.
        return cookie != null && faults.answer(cookie, code) == 0
                ? VirtioIommu.S_OK
                : VirtioIommu.S_NOENT;
    }

    /**
     * Writes the next page request into a buffer of the guest's: those of a group one after the
     * other, in their order.
     *
     * @param buffer at least FAULT_SIZE bytes
     * @return bytes that were written; 0: there is none
     */
    public int event(MemorySegment buffer) {
        while (events.isEmpty()) {
            FaultQueue.Taken taken = faults.take();
            if (taken == null) {
                return 0;
            }
            add(taken);
        }
        Event event = events.poll();
        if (event == null) {
            return 0;
        }
        fill(buffer, event);
        pageRequests++;
        return FAULT_SIZE;
    }

    private void add(FaultQueue.Taken taken) {
        Vdevice name = taken.group().device().vdevice();
        if (name == null) {
            // The guest has no name for it and never hears of it.
            faults.answer(taken.cookie(), CODE_INVALID);
            return;
        }
        int endpoint = (int) name.virtualId();
        if (open.size() > faults.open()) {
            // The guest does not answer what has its answer because its table is gone.
            open.values().removeIf(cookie -> !faults.isOpen(cookie));
        }
        Integer before =
                open.put(
                        new Key(endpoint, taken.group().pasid(), taken.group().number()),
                        taken.cookie());
        if (before != null) {
            // The device uses a number again that it has no answer for: nobody can tell them apart.
            faults.answer(before, CODE_INVALID);
        }
        taken.group().requests().forEach(request -> events.add(new Event(endpoint, request)));
    }

    private static void fill(MemorySegment buffer, Event event) {
        PageRequests.Request request = event.request;
        boolean hasPasid = (request.flags() & Iommufd.PGFAULT_FLAGS_PASID_VALID) != 0;
        boolean isLast = (request.flags() & Iommufd.PGFAULT_FLAGS_LAST_PAGE) != 0;
        // Read, write, execute and privileged are the same bits in both.
        int flags =
                (request.permissions() & (FAULT_READ | FAULT_WRITE | FAULT_EXEC | FAULT_PRIV))
                        | FAULT_PAGE_REQUEST
                        | FAULT_HAS_ADDRESS
                        | FAULT_HAS_GROUP
                        | (hasPasid ? FAULT_HAS_PASID : 0)
                        | (isLast ? FAULT_LAST : 0);
        buffer.asSlice(0, FAULT_SIZE).fill((byte) 0);
        buffer.set(INT, FAULT_FLAGS, flags);
        buffer.set(INT, FAULT_ENDPOINT, event.endpoint);
        buffer.set(INT, FAULT_PASID, hasPasid ? request.pasid() : 0);
        buffer.set(LONG, FAULT_ADDRESS, request.address());
        buffer.set(SHORT, FAULT_GROUP, (short) request.group());
    }
}
