// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static org.ioasis.iommufd.HwDevice.NO_PASID;
import static org.ioasis.spec.Iommufd.PAGE_RESP_INVALID;
import static org.ioasis.spec.Iommufd.PGFAULT_FLAGS_LAST_PAGE;
import static org.ioasis.spec.Iommufd.PGFAULT_FLAGS_PASID_VALID;

import java.util.ArrayList;
import java.util.List;

/**
 * Page requests of one device on their way to whoever answers: those of a group wait until its last
 * one has come. Under its context's lock.
 */
public final class PageRequests {
    /** Most requests that wait for the last one of their group; a device may never send it. */
    static final int WAITING_MAX = 512;

    /**
     * One request.
     *
     * @param flags PGFAULT_FLAGS_
     * @param permissions PGFAULT_PERM_
     */
    public record Request(int flags, int pasid, int group, int permissions, long address) {}

    /** All requests of a group, which get one answer. */
    public record Group(Device device, int pasid, int number, List<Request> requests) {}

    private final Device device;
    private final List<Request> waiting = new ArrayList<>();
    private long dropped;

    PageRequests(Device device) {
        this.device = device;
    }

    /** Requests that could not wait and were forgotten. */
    public long dropped() {
        return dropped;
    }

    /**
     * A request comes from the device.
     *
     * @param flags PGFAULT_FLAGS_
     * @param permissions PGFAULT_PERM_
     */
    public void report(int flags, int pasid, int group, int permissions, long address) {
        synchronized (device.context()) {
            boolean hasQuirks = device.context().node().hasKernelQuirks();
            // Q14: Linux shows flags that are between its drivers and itself.
            int shown =
                    hasQuirks
                            ? flags
                            : flags & (PGFAULT_FLAGS_PASID_VALID | PGFAULT_FLAGS_LAST_PAGE);
            int of = (flags & PGFAULT_FLAGS_PASID_VALID) != 0 ? pasid : NO_PASID;
            Request request = new Request(shown, of, group, permissions, address);
            if ((flags & PGFAULT_FLAGS_LAST_PAGE) == 0) {
                if (waiting.size() == WAITING_MAX) {
                    dropped++;
                } else {
                    waiting.add(request);
                }
                return;
            }
            List<Request> all = new ArrayList<>();
            for (Request earlier : List.copyOf(waiting)) {
                // Q8: two PASIDs may use the same group number at the same time.
                if (earlier.group == group && (hasQuirks || earlier.pasid == of)) {
                    all.add(earlier);
                    waiting.remove(earlier);
                }
            }
            all.add(request);
            deliver(new Group(device, of, group, List.copyOf(all)));
        }
    }

    private void deliver(Group group) {
        int via = group.pasid;
        Hwpt hwpt = device.attached(via);
        if (hwpt == null && via != NO_PASID) {
            // The guest has the table of PASIDs, and so all of them.
            via = NO_PASID;
            hwpt = device.attached(via) instanceof NestedHwpt whole ? whole : null;
        }
        FaultQueue faults = hwpt == null ? null : hwpt.faults();
        if (hwpt == null || faults == null) {
            device.hardware().respond(group.pasid, group.number, PAGE_RESP_INVALID);
        } else {
            faults.add(hwpt, via, group);
        }
    }

    /**
     * The queue of the hardware that requests come through has run over: it has answered those
     * itself that wait for the last one of their group, and what follows makes a shorter one.
     */
    public void overflow() {
        synchronized (device.context()) {
            dropped += waiting.size();
            waiting.clear();
        }
    }

    /** Nobody will answer requests of a PASID any more. */
    void forget(int pasid) {
        waiting.removeIf(request -> request.pasid == pasid);
    }

    void forgetAll() {
        waiting.clear();
    }
}
