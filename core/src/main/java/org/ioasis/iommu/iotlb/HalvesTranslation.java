// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.iotlb;

import org.ioasis.iommu.mapping.Extent;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.iommu.mapping.Workspace;
import org.ioasis.memory.Access;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.ArmTable;

/**
 * Two tables of one space, one for low addresses and one for high ones, as processors of ARM have
 * them. Any thread, inside a guarded section; allocates nothing but a workspace for each owner of
 * an {@link Extent}.
 */
public final class HalvesTranslation extends Translation {
    private final Translation lower;
    private final Translation upper;

    /**
     * @param lower of addresses whose bit 55 is 0, whatever is above it
     * @param upper of the others
     */
    public HalvesTranslation(Translation lower, Translation upper) {
        super(Kind.WALKED);
        this.lower = lower;
        this.upper = upper;
    }

    private static boolean isUpper(long iova) {
        return (iova >>> ArmTable.HALF_BIT & 1) != 0;
    }

    private Translation half(long iova) {
        return isUpper(iova) ? upper : lower;
    }

    @Override
    public long translate(long iova, long length, int flags) {
        return half(iova).translate(iova, length, flags);
    }

    @Override
    public boolean lookup(long iova, Extent found) {
        Space space = workspace(found);
        Part part = space.part(iova);
        boolean isThere = half(iova).lookup(iova, part.extent);
        return part.handOn(isThere ? Outcome.OK : Outcome.FAULT, iova, found, space) == Outcome.OK;
    }

    @Override
    public Outcome access(long iova, long length, int flags, Extent found) {
        Space space = workspace(found);
        Part part = space.part(iova);
        Outcome outcome = half(iova).access(iova, length, flags, part.extent);
        return part.handOn(outcome, iova, found, space);
    }

    @Override
    public String explain(String name, long iova, Access access) {
        return half(iova).explain(name, iova, access);
    }

    private Space workspace(Extent found) {
        if (found.workspace() instanceof Space known && known.owner == this) {
            return known;
        }
        Space made = new Space(this);
        found.workspace(made);
        return made;
    }

    private static final class Space extends Workspace {
        private final HalvesTranslation owner;
        private final Part lower = new Part();
        private final Part upper = new Part();

        Space(HalvesTranslation owner) {
            this.owner = owner;
        }

        Part part(long iova) {
            return isUpper(iova) ? upper : lower;
        }
    }
}
