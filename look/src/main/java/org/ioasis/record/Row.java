// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * A row of a recording, which is filled again for the next one: a million of them a second make no
 * garbage. What its {@link Event} has not is 0, or {@link #NONE} where it is a number of something.
 * One thread.
 */
public final class Row {
    /** No endpoint, no domain, no PASID. */
    public static final int NONE = -1;

    /** Flag of a fault: the access goes on past the last address that there is. */
    public static final int PAST_END = 4;

    private long sequence;
    private long time;
    private Event event = Event.LOST;
    private String iommu = "";
    private long endpoint = NONE;
    private long pasid = NONE;
    private long domain = NONE;
    private long first;
    private long last;
    private long output;
    private int flags;
    private @Nullable String status;
    private @Nullable String refusal;
    private long lost;

    /** Becomes what has happened, with nothing more to it. */
    public void begin(long newSequence, long newTime, Event newEvent, String newIommu) {
        sequence = newSequence;
        time = newTime;
        event = newEvent;
        iommu = newIommu;
        endpoint = NONE;
        pasid = NONE;
        domain = NONE;
        first = 0;
        last = 0;
        output = 0;
        flags = 0;
        status = null;
        refusal = null;
        lost = 0;
    }

    public void endpoint(long value) {
        endpoint = value;
    }

    public void pasid(long value) {
        pasid = value;
    }

    public void domain(long value) {
        domain = value;
    }

    public void range(long newFirst, long newLast) {
        first = newFirst;
        last = newLast;
    }

    public void output(long value) {
        output = value;
    }

    public void flags(int value) {
        flags = value;
    }

    public void status(@Nullable String value) {
        status = value;
    }

    public void refusal(@Nullable String value) {
        refusal = value;
    }

    public void lost(long value) {
        lost = value;
    }

    /** Its number in the recording, from 0. */
    public long sequence() {
        return sequence;
    }

    /** Nanoseconds since the recording began. */
    public long time() {
        return time;
    }

    public Event event() {
        return event;
    }

    /** Machine and IOMMU: what the numbers of domains and endpoints are of. */
    public String iommu() {
        return iommu;
    }

    /** 32-bit unsigned, or {@link #NONE}. */
    public long endpoint() {
        return endpoint;
    }

    /** {@link #NONE}: without one. */
    public long pasid() {
        return pasid;
    }

    /** 32-bit unsigned, or {@link #NONE}: attached to nothing. */
    public long domain() {
        return domain;
    }

    /** First IOVA, 64-bit unsigned. */
    public long first() {
        return first;
    }

    /** Last IOVA, inclusive. */
    public long last() {
        return last;
    }

    /** The guest-physical address of {@link #first}. */
    public long output() {
        return output;
    }

    /**
     * Of a MAP and an ATTACH those of the wire; of an access 1 reads, 2 writes, and {@link
     * #PAST_END}.
     */
    public int flags() {
        return flags;
    }

    /** The answer of a request, the reason of a fault. */
    public @Nullable String status() {
        return status;
    }

    /** The check that has refused the request; null if it was carried out, or a listener's. */
    public @Nullable String refusal() {
        return refusal;
    }

    /** How many rows are missing here. */
    public long lost() {
        return lost;
    }

    /** Bytes of the range, 64-bit unsigned; 0 for all 2^64. */
    public long length() {
        return last - first + 1;
    }

    /** For people: one line without time and number. */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder(iommu).append(' ').append(event);
        if (endpoint != NONE) {
            text.append(" endpoint 0x").append(Long.toHexString(endpoint));
        }
        if (pasid != NONE) {
            text.append(" PASID ").append(pasid);
        }
        if (domain != NONE) {
            text.append(" domain 0x").append(Long.toHexString(domain));
        }
        if (event.hasRange()) {
            text.append(" 0x%x..0x%x".formatted(first, last));
        }
        if (event.hasOutput()) {
            text.append(" to 0x").append(Long.toHexString(output));
        }
        if (event.hasFlags()) {
            text.append(" flags ").append(flags);
        }
        if (lost != 0) {
            text.append(String.format(Locale.ROOT, " %,d", lost));
        }
        if (status != null) {
            text.append(" -> ").append(status);
        }
        if (refusal != null) {
            text.append(" (").append(refusal).append(')');
        }
        return text.toString();
    }
}
