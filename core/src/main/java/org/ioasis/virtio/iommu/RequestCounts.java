// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import java.util.Arrays;
import org.ioasis.iommu.Status;
import org.ioasis.memory.Count;
import org.jspecify.annotations.Nullable;

/** How many requests of each type ended how. Written by the device's thread, read by any. */
public final class RequestCounts {
    private static final int STATUSES = Status.values().length;

    /** By type and, of each, by status. */
    private final Count[] answered = new Count[RequestType.values().length * STATUSES];

    private final Count unanswered = new Count();

    RequestCounts() {
        Arrays.setAll(answered, i -> new Count());
    }

    /** Counted with each request: the place is worked out, and no map is asked. */
    @SuppressWarnings("EnumOrdinal")
    private Count counter(RequestType type, Status status) {
        return answered[type.ordinal() * STATUSES + status.ordinal()];
    }

    /**
     * @param status null if it went back unwritten
     */
    void count(RequestType type, @Nullable Status status) {
        (status == null ? unanswered : counter(type, status)).increment();
    }

    /** Requests of {@code type} that were answered with {@code status}. */
    public long answeredWith(RequestType type, Status status) {
        return counter(type, status).read();
    }

    /** Requests of {@code type}, whatever the answer. */
    public long of(RequestType type) {
        long sum = 0;
        for (Status status : Status.values()) {
            sum += answeredWith(type, status);
        }
        return sum;
    }

    /**
     * Requests given back unwritten, with used length 0: unknown types and what cannot be parsed.
     */
    public long unansweredRequests() {
        return unanswered.read();
    }

    /** All requests. */
    public long total() {
        long sum = unansweredRequests();
        for (RequestType type : RequestType.values()) {
            sum += of(type);
        }
        return sum;
    }
}
