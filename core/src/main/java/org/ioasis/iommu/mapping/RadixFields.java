// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * Where a {@link RadixStore}'s fields lie. Readers load some of them for each translation, and the
 * writer changes others with each request: on one cache line each request would cost every reader a
 * miss. Room of two lines, and a class for each part, as with a guard's fields.
 */
final class RadixFields {
    /** Lowest tables that the writer remembers, a power of two. */
    static final int RECENT = 64;

    private RadixFields() {}

    /** Room behind the object before. */
    @SuppressWarnings("unused") // room
    abstract static class Before extends MappingStore {
        private long p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, pa, pb, pc, pd, pe;
    }

    /** What readers load; of it only the root ever changes, when the table grows or is dropped. */
    abstract static class Read extends Before {
        private static final VarHandle ROOT;

        static {
            try {
                ROOT = MethodHandles.lookup().findVarHandle(Read.class, "root", long.class);
            } catch (ReflectiveOperationException e) {
                throw new ExceptionInInitializerError(e);
            }
        }

        final TableMemory memory;
        final int granuleLg2;

        // First word of the top table and, in its low bits, the shift of its entries; 0 without
        // tables.
        private long root;

        Read(TableMemory memory, int granuleLg2) {
            this.memory = memory;
            this.granuleLg2 = granuleLg2;
        }

        /** The writer's own. */
        final long root() {
            return root;
        }

        final long rootAcquire() {
            return (long) ROOT.getAcquire(this);
        }

        final void rootRelease(long word) {
            ROOT.setRelease(this, word);
        }
    }

    /** Room between readers and the writer. */
    @SuppressWarnings("unused") // room
    abstract static class Between extends Read {
        private long q0, q1, q2, q3, q4, q5, q6, q7, q8, q9, qa, qb, qc, qd, qe;

        Between(TableMemory memory, int granuleLg2) {
            super(memory, granuleLg2);
        }
    }

    /** The writer's alone. */
    abstract static class Written extends Between {
        final TablePool pool;

        final long granuleMask;

        // What addresses of one lowest table have in common lies above.
        final int leafTableShift;

        // Where lowest tables were found, for the writer mostly goes back to one of a few: what
        // their addresses have in common, then the table.
        final long[] recent = new long[2 * RECENT];

        // Mappings.
        long size;

        // An address in the lowest table of the chain that is kept, and that table if it is still
        // empty.
        long keptAt;
        int kept = TablePool.NONE;

        // Linked, from the root or in the chain that is kept; and the most that there may be.
        int tables;
        long tableLimit = Long.MAX_VALUE;

        Written(TablePool pool, int granuleLg2, int levelLg2) {
            super(pool.memory(), granuleLg2);
            this.pool = pool;
            granuleMask = (1L << granuleLg2) - 1;
            leafTableShift = granuleLg2 + levelLg2;
        }
    }
}
