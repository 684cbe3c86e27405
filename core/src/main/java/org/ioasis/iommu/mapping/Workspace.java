// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import org.ioasis.iommu.pagetable.TwoStageFault;
import org.ioasis.iommu.pagetable.WalkFault;
import org.ioasis.memory.Outcome;

/**
 * What a translation that walks keeps beside an {@link Extent}, and where the last access that it
 * refused has ended. One thread, the one of the extent.
 */
public abstract class Workspace {
    private TwoStageFault stage = TwoStageFault.NONE;
    private WalkFault fault = WalkFault.NONE;
    private int level;
    private long address;

    /** Which stage has refused, and for what. */
    public final TwoStageFault stage() {
        return stage;
    }

    public final WalkFault fault() {
        return fault;
    }

    /** Level of the entry, 0 the lowest. */
    public final int level() {
        return level;
    }

    /** What that stage was asked for: the IOVA, or an address between the stages. */
    public final long address() {
        return address;
    }

    /** Remembers a refusal, which is a fault. */
    public final Outcome refuse(TwoStageFault at, WalkFault why, int atLevel, long of) {
        stage = at;
        fault = why;
        level = atLevel;
        address = of;
        return Outcome.FAULT;
    }

    /** Takes over what another remembers. */
    public final Outcome refuse(Workspace other) {
        return refuse(other.stage, other.fault, other.level, other.address);
    }

    /** The refusal, for people. */
    public final String words() {
        return "%s at level %d for 0x%x: %s".formatted(stage, level, address, fault);
    }
}
