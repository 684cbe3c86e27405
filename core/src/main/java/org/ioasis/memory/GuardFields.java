// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * Where a {@link Guard}'s fields lie. Its section is written by its thread with every section and
 * read by the mapper: on a cache line with other fields it would slow down everybody who uses
 * these. So there is room before and behind it, of two lines, since processors fetch lines in
 * pairs. A class for each part, because the JVM orders the fields of one class as it likes, but
 * puts those of a class before those of its subclasses.
 */
final class GuardFields {
    private GuardFields() {}

    /** Room behind the object before. */
    @SuppressWarnings("unused") // room
    abstract static class Before {
        private long p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, pa, pb, pc, pd, pe;
    }

    /** What the guard's thread writes. */
    abstract static class Section extends Before {
        private static final VarHandle SECTION;

        static {
            try {
                SECTION =
                        MethodHandles.lookup().findVarHandle(Section.class, "section", long.class);
            } catch (ReflectiveOperationException e) {
                throw new ExceptionInInitializerError(e);
            }
        }

        // Odd inside a section, even between two; never goes back.
        private long section;

        /** On the owning thread. */
        final long own() {
            return section;
        }

        final long getAcquire() {
            return (long) SECTION.getAcquire(this);
        }

        final void setOpaque(long value) {
            SECTION.setOpaque(this, value);
        }

        final void setRelease(long value) {
            SECTION.setRelease(this, value);
        }
    }

    /** Room between the two threads. */
    @SuppressWarnings("unused") // room
    abstract static class Between extends Section {
        private long q0, q1, q2, q3, q4, q5, q6, q7, q8, q9, qa, qb, qc, qd, qe;
    }

    /**
     * What the mapper has seen: which section, in which epoch it last was that one, and up to which
     * epoch no section is open that began before. Loop thread.
     */
    abstract static class Seen extends Between {
        long seen;
        long seenIn;
        long past;
        private final @Nullable Guard next;

        Seen(@Nullable Guard next) {
            this.next = next;
        }

        final @Nullable Guard next() {
            return next;
        }
    }
}
