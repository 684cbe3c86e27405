// SPDX-License-Identifier: Apache-2.0
package org.ioasis.stress;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import org.ioasis.iommu.iotlb.Iotlb;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.IIZ_Result;
import org.openjdk.jcstress.infra.results.ZZ_Result;
import org.openjdk.jcstress.infra.results.Z_Result;

/**
 * Walks that fill an IOTLB beside the invalidations that say that their table has changed. The
 * table is one word, which leads somewhere or nowhere.
 */
public final class IotlbLitmus {
    private static final int DOMAIN = 1;
    private static final int SPACE = 2;
    private static final long TAG = Iotlb.tag(DOMAIN, SPACE, Iotlb.FIRST);
    private static final long IOVA = 0x5000;
    private static final int PAGE_LG2 = 12;
    private static final long OLD = 0x7000;
    private static final long NEW = 0x9000;
    private static final int OLD_RIGHTS = 1;
    private static final int NEW_RIGHTS = 2;

    private static final VarHandle ENTRY;
    private static final VarHandle DONE;

    static {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            ENTRY = lookup.findVarHandle(Table.class, "entry", long.class);
            DONE = lookup.findVarHandle(Table.class, "done", boolean.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private IotlbLitmus() {}

    /** A guest's table, and a device that walks it. */
    public abstract static class Table {
        final Iotlb tlb = new Iotlb(Iotlb.ENTRIES_MIN);

        @SuppressWarnings("unused") // by the handles
        private long entry = OLD;

        @SuppressWarnings("unused")
        private boolean done;

        void walk() {
            long epoch = tlb.epoch();
            long output = (long) ENTRY.getAcquire(this);
            if (output != 0) {
                fill(tlb, epoch, output, OLD_RIGHTS);
            }
        }

        static void fill(Iotlb tlb, long epoch, long output, int rights) {
            fill(tlb, epoch, TAG, output, rights);
        }

        static void fill(Iotlb tlb, long epoch, long tag, long output, int rights) {
            tlb.fill(epoch, tag, IOVA, output, rights, PAGE_LG2, PAGE_LG2, false);
        }

        void clear() {
            ENTRY.setRelease(this, 0L);
        }

        boolean isFound() {
            return tlb.find(TAG, IOVA) != Iotlb.NONE;
        }

        void done() {
            DONE.setRelease(this, true);
        }

        boolean isDone() {
            return (boolean) DONE.getAcquire(this);
        }
    }

    /** The walk may have begun before, and ends when it likes. */
    @JCStressTest
    @Outcome(id = "false, false", expect = Expect.ACCEPTABLE, desc = "nothing is found any more")
    @Outcome(expect = Expect.FORBIDDEN, desc = "found after its invalidation, or kept after it")
    @State
    public static class FillBesideRange extends Table {
        @Actor
        public void device() {
            walk();
        }

        @Actor
        public void guest(ZZ_Result result) {
            clear();
            tlb.range(DOMAIN, SPACE, IOVA, IOVA, 0);
            result.r1 = isFound();
        }

        @Arbiter
        public void later(ZZ_Result result) {
            result.r2 = isFound();
        }
    }

    /** The same when every set is looked at. */
    @JCStressTest
    @Outcome(id = "false, false", expect = Expect.ACCEPTABLE, desc = "nothing is found any more")
    @Outcome(expect = Expect.FORBIDDEN, desc = "found after its invalidation, or kept after it")
    @State
    public static class FillBesideDomain extends Table {
        @Actor
        public void device() {
            walk();
        }

        @Actor
        public void guest(ZZ_Result result) {
            clear();
            tlb.domain(DOMAIN);
            result.r1 = isFound();
        }

        @Arbiter
        public void later(ZZ_Result result) {
            result.r2 = isFound();
        }
    }

    /** A device that knows that the invalidation is complete finds nothing of before. */
    @JCStressTest
    @Outcome(
            id = "true, true",
            expect = Expect.FORBIDDEN,
            desc = "complete, and the entry is found")
    @Outcome(expect = Expect.ACCEPTABLE, desc = "not found, or not complete yet")
    @State
    public static class FindBesideInvalidation extends Table {
        public FindBesideInvalidation() {
            fill(tlb, tlb.epoch(), OLD, OLD_RIGHTS);
        }

        @Actor
        public void device(ZZ_Result result) {
            result.r1 = isDone();
            result.r2 = isFound();
        }

        @Actor
        public void guest() {
            tlb.space(DOMAIN, SPACE);
            done();
        }
    }

    /** Two who take away at the same time: each takes what it wants, and nothing else. */
    @JCStressTest
    @Outcome(id = "1, 1, true", expect = Expect.ACCEPTABLE, desc = "its own each")
    @Outcome(expect = Expect.FORBIDDEN, desc = "what the other wants, or what nobody does")
    @State
    public static class TwoScopes {
        private final Iotlb tlb = new Iotlb(Iotlb.ENTRIES_MIN);

        public TwoScopes() {
            for (int space = SPACE; space <= SPACE + 2; space++) {
                Table.fill(
                        tlb, tlb.epoch(), Iotlb.tag(DOMAIN, space, Iotlb.FIRST), OLD, OLD_RIGHTS);
            }
        }

        @Actor
        public void one(IIZ_Result result) {
            result.r1 = (int) tlb.range(DOMAIN, SPACE, IOVA, IOVA, 0);
        }

        @Actor
        public void other(IIZ_Result result) {
            tlb.begin();
            try {
                result.r2 = (int) tlb.space(DOMAIN, SPACE + 1);
            } finally {
                tlb.end();
            }
        }

        @Arbiter
        public void later(IIZ_Result result) {
            result.r3 = tlb.find(Iotlb.tag(DOMAIN, SPACE + 2, Iotlb.FIRST), IOVA) != Iotlb.NONE;
        }
    }

    /** Two who take the same away: one of them has taken it, and it is gone for both. */
    @JCStressTest
    @Outcome(
            id = {"1, 0, false", "0, 1, false"},
            expect = Expect.ACCEPTABLE,
            desc = "one of them")
    @Outcome(expect = Expect.FORBIDDEN, desc = "both or none, or it is found again")
    @State
    public static class TwoOfTheSame extends Table {
        public TwoOfTheSame() {
            fill(tlb, tlb.epoch(), OLD, OLD_RIGHTS);
        }

        @Actor
        public void one(IIZ_Result result) {
            result.r1 = (int) tlb.range(DOMAIN, SPACE, IOVA, IOVA, 0);
            result.r3 |= isFound();
        }

        @Actor
        public void other(IIZ_Result result) {
            result.r2 = (int) tlb.domain(DOMAIN);
        }

        @Arbiter
        public void later(IIZ_Result result) {
            result.r3 |= isFound();
        }
    }

    /** What is found is one whole entry, of before or of after. */
    @JCStressTest
    @Outcome(
            id = "true",
            expect = Expect.ACCEPTABLE,
            desc = "nothing, or address and rights of one")
    @Outcome(expect = Expect.FORBIDDEN, desc = "address of one and rights of another")
    @State
    public static class FindBesideReplacement extends Table {
        public FindBesideReplacement() {
            fill(tlb, tlb.epoch(), OLD, OLD_RIGHTS);
        }

        @Actor
        public void device(Z_Result result) {
            long found = tlb.find(TAG, IOVA);
            long wanted = Iotlb.output(found, 0) == OLD ? OLD_RIGHTS : NEW_RIGHTS;
            result.r1 = found == Iotlb.NONE || Iotlb.rights(found) == wanted;
        }

        @Actor
        public void other() {
            // It goes, and comes back as another one in the same place.
            tlb.space(DOMAIN, SPACE);
            fill(tlb, tlb.epoch(), NEW, NEW_RIGHTS);
        }
    }
}
