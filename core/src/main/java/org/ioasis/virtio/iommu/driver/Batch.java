// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static org.ioasis.spec.VirtioIommu.S_OK;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.virtio.driver.BrokenException;
import org.ioasis.virtio.driver.DriverException;
import org.jspecify.annotations.Nullable;

/**
 * MAPs and UNMAPs of a domain that are sent together: one notification and one look for as many as
 * the queue holds. The device may carry them out in any order, so none is about what another one is
 * about. Driver's thread; used once.
 */
public final class Batch {
    private static final class Request {
        private final long first;
        private final long last;
        private final @Nullable DriverMapping mapping;
        private boolean isDone;

        Request(long first, long last, @Nullable DriverMapping mapping) {
            this.first = first;
            this.last = last;
            this.mapping = mapping;
        }

        @Override
        public String toString() {
            return "%s 0x%x..0x%x".formatted(mapping == null ? "UNMAP" : "MAP", first, last);
        }
    }

    private final IommuDriver driver;
    private final DriverDomain domain;
    private final List<Request> requests = new ArrayList<>();
    private boolean isCommitted;

    // The request whose slot is the first of the round.
    private int firstSlot;

    Batch(IommuDriver driver, DriverDomain domain) {
        this.driver = driver;
        this.domain = domain;
    }

    /** Adds a MAP. */
    public void map(long first, long last, long output, Permission permission) {
        requests.add(new Request(first, last, domain.ask(first, last, output, permission)));
    }

    /** Adds an UNMAP of the mappings in a range; none is sent where there are none. */
    public void unmap(long first, long last) {
        if (domain.askLeave(first, last) > 0) {
            requests.add(new Request(first, last, null));
        }
    }

    /** How many requests it has. */
    public int size() {
        return requests.size();
    }

    /** Whether a request, by its place in the batch, was answered OK. After {@link #commit}. */
    public boolean isDone(int request) {
        return requests.get(request).isDone;
    }

    /**
     * Sends everything and waits for all answers. Each request stands for itself: what one refusal
     * is about was not carried out, the others were.
     *
     * @throws RefusedException for the first that was refused, with those for the others as
     *     suppressed
     * @throws BrokenException if not everything was answered; then nothing of this batch counts as
     *     mapped, and what the device has is known after a reset only
     */
    public void commit() throws DriverException {
        if (isCommitted) {
            throw new IllegalStateException("a batch is sent once");
        }
        isCommitted = true;
        RefusedException refused = null;
        int settled = 0;
        try {
            while (settled < requests.size()) {
                int next = domain.isLive() ? send(settled) : requests.size();
                for (; settled < next; settled++) {
                    RefusedException why = settle(settled);
                    if (refused == null) {
                        refused = why;
                    } else if (why != null) {
                        refused.addSuppressed(why);
                    }
                }
            }
        } finally {
            // Only if it broke: after the reset that must follow, the device has none of it.
            for (Request request : requests.subList(settled, requests.size())) {
                apply(request, request.mapping == null);
            }
        }
        if (refused != null) {
            throw refused;
        }
    }

    /** Sends as many as go, and returns where the next ones begin. */
    private int send(int from) throws BrokenException {
        RequestRing ring = driver.ring();
        ring.begin();
        firstSlot = from;
        int next = from;
        while (next < requests.size() && ring.count() < ring.capacity()) {
            Request request = requests.get(next++);
            DriverMapping mapping = request.mapping;
            if (mapping == null) {
                ring.unmap(domain.id(), request.first, request.last);
            } else {
                ring.map(domain.id(), mapping.first, mapping.last, mapping.output, mapping.flags);
            }
        }
        ring.await();
        return next;
    }

    private @Nullable RefusedException settle(int index) throws BrokenException {
        Request request = requests.get(index);
        int status = domain.isLive() ? driver.ring().status(index - firstSlot) : S_OK;
        apply(request, status == S_OK);
        request.isDone = status == S_OK;
        return status == S_OK ? null : new RefusedException(request.toString(), status);
    }

    /** Takes back what was added, in place of {@link #commit}. */
    public void cancel() {
        if (isCommitted) {
            throw new IllegalStateException("a batch is sent once");
        }
        isCommitted = true;
        requests.forEach(request -> apply(request, false));
    }

    private void apply(Request request, boolean isDone) {
        DriverMapping mapping = request.mapping;
        if (mapping == null) {
            domain.left(request.first, request.last, isDone);
        } else {
            domain.mapped(mapping, isDone);
        }
    }
}
