// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import java.io.Serializable;

/**
 * What a trace asks of an IOMMU, with the addresses that its guest had chosen taken out: buffers
 * that are mapped into domains, accesses to them by where in a buffer they lie, and ends. Another
 * design's driver would have chosen other addresses, and the accesses would have gone there.
 *
 * <p>In arrays, a row each, since a trace has millions. Immutable once it is made; any thread.
 */
public final class Trace {
    /** A buffer is mapped: its subject is the buffer. */
    static final byte MAP = 0;

    /** A buffer is unmapped; several may be by one request, which {@link #UNMAPPED} ends. */
    static final byte UNMAP = 1;

    /** An UNMAP that removed something is done: its subject is the domain. */
    static final byte UNMAPPED = 2;

    /** A device reads or writes a part of a buffer. */
    static final byte READ = 3;

    static final byte WRITE = 4;

    /** A domain ends with all that is mapped in it. */
    static final byte END = 5;

    /**
     * What is not simulated, but has to be known to judge the figures.
     *
     * @param rows of the file
     * @param refused requests that were not answered OK
     * @param faults accesses that were refused
     * @param outside accesses to what no mapping that is known covers, or without a domain
     * @param lost events that the recorder could not keep
     */
    public record Notes(long rows, long refused, long faults, long outside, long lost)
            implements Serializable {}

    /** Rows of the operations; nobody changes the arrays. */
    static final class Operations {
        final byte[] kinds;
        final int[] subjects;
        final long[] times;
        final long[] offsets;
        final long[] lengths;

        /** Where in the file they come from. */
        final int[] rows;

        Operations(
                byte[] kinds,
                int[] subjects,
                long[] times,
                long[] offsets,
                long[] lengths,
                int[] rows) {
            this.kinds = kinds;
            this.subjects = subjects;
            this.times = times;
            this.offsets = offsets;
            this.lengths = lengths;
            this.rows = rows;
        }

        int count() {
            return kinds.length;
        }
    }

    /** Rows of the buffers; nobody changes the arrays. */
    static final class Buffers {
        final int[] domains;
        final long[] outputs;

        /** How many bytes follow the first. */
        final long[] lasts;

        final byte[] rights;

        Buffers(int[] domains, long[] outputs, long[] lasts, byte[] rights) {
            this.domains = domains;
            this.outputs = outputs;
            this.lasts = lasts;
            this.rights = rights;
        }

        int count() {
            return domains.length;
        }

        /** Where the granules begin in memory that a buffer is in. */
        long granules(int buffer, long granule) {
            return outputs[buffer] & -granule;
        }

        /** Bytes of those granules less one. */
        long granulesLast(int buffer, long granule) {
            long last = (outputs[buffer] + lasts[buffer]) | (granule - 1);
            return last - granules(buffer, granule);
        }
    }

    private final Operations operations;
    private final Buffers buffers;
    private final int domains;
    private final Notes notes;

    Trace(Operations operations, Buffers buffers, int domains, Notes notes) {
        this.operations = operations;
        this.buffers = buffers;
        this.domains = domains;
        this.notes = notes;
    }

    Operations operations() {
        return operations;
    }

    Buffers buffers() {
        return buffers;
    }

    /** Domains that there were, one after the other or at once. */
    int domains() {
        return domains;
    }

    public Notes notes() {
        return notes;
    }

    /** From the first operation to the last. */
    public long nanos() {
        long[] times = operations.times;
        return times.length == 0 ? 0 : times[times.length - 1] - times[0];
    }

    public int accesses() {
        int count = 0;
        for (byte kind : operations.kinds) {
            count += kind == READ || kind == WRITE ? 1 : 0;
        }
        return count;
    }
}
