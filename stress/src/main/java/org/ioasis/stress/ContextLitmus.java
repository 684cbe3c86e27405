// SPDX-License-Identifier: Apache-2.0
package org.ioasis.stress;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import org.ioasis.iommu.iotlb.ContextTranslation;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.mapping.Extent;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.ContextAnswer;
import org.ioasis.iommu.pagetable.Half;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.Root;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.format.ArmFormat;
import org.ioasis.iommu.pagetable.smmuv3.StreamRefusal;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Region;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.Z_Result;

/**
 * A device that goes by a context of its guest's beside the guest, which gives the same space
 * another table: nothing of the old one is kept when both are over.
 */
public final class ContextLitmus {
    private static final int DOMAIN = 1;
    private static final int SPACE = 2;
    private static final long TAG = Iotlb.tag(DOMAIN, SPACE, Iotlb.FIRST);
    private static final long IOVA = 0x5000;
    private static final long RAM = 0x10_0000;
    private static final int PAGE = 0x1000;

    /** A page that was accessed, a user's, of this space alone. */
    private static final long ENTRY = 3 | 1 << 10 | 1 << 6 | 1 << 11;

    private static final ArmFormat FORMAT = ArmFormat.stage1(12, 21, 48, Half.LOWER, 0);

    /** Two tables of one level: the first leads to the first page, the other to the other. */
    private static final MemorySegment TABLES = tables();

    private static final VarHandle CHANGED;

    static {
        try {
            CHANGED = MethodHandles.lookup().findVarHandle(Guest.class, "isChanged", boolean.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private ContextLitmus() {}

    private static MemorySegment tables() {
        MemorySegment tables = MemorySegment.ofArray(new long[2 * PAGE / Long.BYTES]);
        ValueLayout.OfLong word = ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < 2; i++) {
            tables.set(word, (long) i * PAGE + (IOVA >>> 12) * Long.BYTES, output(i) | ENTRY);
        }
        return tables;
    }

    private static long output(int table) {
        return RAM + (long) table * PAGE;
    }

    /** Whose context it is. */
    private static final class Guest {
        @SuppressWarnings("unused") // by the handle
        private boolean isChanged;

        ContextAnswer<StreamRefusal> context() {
            long table = output((boolean) CHANGED.getAcquire(this) ? 1 : 0);
            Stage stage = Stage.of(FORMAT, Root.of(table, FORMAT.firstTop()));
            return ContextAnswer.of(new AddressSpace(stage, null, DOMAIN, SPACE, Rights.ALL), 0);
        }

        void change() {
            CHANGED.setRelease(this, true);
        }
    }

    /** The walk may have begun before, and ends when it likes. */
    @JCStressTest
    @Outcome(id = "false", expect = Expect.ACCEPTABLE, desc = "nothing is kept, or of the new")
    @Outcome(expect = Expect.FORBIDDEN, desc = "what the old context led to is kept")
    @State
    public static class Replaced {
        private final Guards guards = new Guards(() -> 0, lease -> {});
        private final Guard guard = guards.open();
        private final GuestMemory memory = new GuestMemory(guards, 1);
        private final Iotlb tlb = new Iotlb(Iotlb.ENTRIES_MIN);
        private final Guest guest = new Guest();
        private final ContextTranslation translation;
        private final Extent extent = new Extent(SPACE);

        public Replaced() {
            memory.add(new Region(RAM, RAM + 2 * PAGE - 1, TABLES, true, null));
            translation = new ContextTranslation((_, _) -> guest.context(), memory, tlb);
        }

        @Actor
        public void device() {
            guard.enter();
            translation.access(IOVA, 1, MapFlags.READ, extent);
            guard.leave();
        }

        @Actor
        public void driver() {
            guest.change();
            translation.renew();
            tlb.domain(DOMAIN);
        }

        @Arbiter
        public void later(Z_Result result) {
            long found = tlb.find(TAG, IOVA);
            result.r1 = found != Iotlb.NONE && Iotlb.output(found, IOVA) == output(0);
        }
    }
}
