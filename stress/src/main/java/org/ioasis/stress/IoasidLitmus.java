// SPDX-License-Identifier: Apache-2.0
package org.ioasis.stress;

import org.ioasis.ioasid.IoasidAllocator;
import org.ioasis.ioasid.IoasidGetter;
import org.ioasis.ioasid.IoasidReader;
import org.ioasis.ioasid.IoasidSet;
import org.ioasis.iommufd.IommufdException;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressMeta;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.I_Result;

/**
 * The look-up of an id beside what replaces its private data and what frees it: its getter has data
 * that is there, or none. Whoever takes data away drops it as soon as the call returns.
 */
@Outcome(id = "-1", expect = Expect.FORBIDDEN, desc = "a getter has data that was dropped")
@Outcome(id = "0", expect = Expect.ACCEPTABLE, desc = "freed")
@Outcome(id = "1", expect = Expect.ACCEPTABLE, desc = "the data of the allocation")
@Outcome(id = "2", expect = Expect.ACCEPTABLE, desc = "the data that came later")
public abstract class IoasidLitmus {
    /** Private data; dropped without any order but that of the allocator. */
    static final class Owner {
        private final int number;
        private boolean isDropped;

        Owner(int number) {
            this.number = number;
        }

        void drop() {
            isDropped = true;
        }

        int number() {
            return isDropped ? -1 : number;
        }
    }

    private final IoasidAllocator ids = new IoasidAllocator();
    private final IoasidSet<Owner> set = new IoasidSet<>("set", Owner.class);
    private final Owner first = new Owner(1);
    private final Owner later = new Owner(2);
    private final int id = ids.allocate(set, 1, 1, first);

    final void find(I_Result result) {
        IoasidGetter<Owner> getter =
                owner -> {
                    result.r1 = owner.number();
                    return true;
                };
        try (IoasidReader reader = ids.openReader()) {
            switch (reader.find(set, id, getter)) {
                case FOUND, MISSING -> {}
                case NOT_YET, REFUSED, OTHER_SET ->
                        throw new IllegalStateException("no such answer is possible");
            }
        }
    }

    final void put() {
        if (ids.put(id)) {
            first.drop();
            later.drop();
        }
    }

    /** Without effect if it is freed. */
    final void setData() {
        try {
            ids.setData(set, id, later);
            first.drop();
        } catch (IommufdException e) {
            later.drop();
        }
    }

    @JCStressTest
    @JCStressMeta(IoasidLitmus.class)
    @State
    public static class FindAndPut extends IoasidLitmus {
        @Actor
        public void reader(I_Result result) {
            find(result);
        }

        @Actor
        public void owner() {
            put();
        }
    }

    @JCStressTest
    @JCStressMeta(IoasidLitmus.class)
    @State
    public static class FindAndSetData extends IoasidLitmus {
        @Actor
        public void reader(I_Result result) {
            find(result);
        }

        @Actor
        public void owner() {
            setData();
        }
    }

    @JCStressTest
    @JCStressMeta(IoasidLitmus.class)
    @State
    public static class FindSetDataAndPut extends IoasidLitmus {
        @Actor
        public void reader(I_Result result) {
            find(result);
        }

        @Actor
        public void owner() {
            setData();
            put();
        }
    }
}
