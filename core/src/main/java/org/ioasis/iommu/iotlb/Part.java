// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.iotlb;

import org.ioasis.iommu.mapping.Extent;
import org.ioasis.iommu.mapping.Workspace;
import org.ioasis.iommu.pagetable.TwoStageFault;
import org.ioasis.iommu.pagetable.WalkFault;
import org.ioasis.memory.Outcome;

/**
 * What one owner of an {@link Extent} needs for one of several translations that its accesses may
 * go through: each has an extent of its own, so that going from one to the other allocates nothing.
 * One thread.
 */
final class Part {
    final Extent extent = new Extent();

    /**
     * Hands on what this part has answered.
     *
     * @param iova that was asked for
     * @param whole where a refusal is remembered
     */
    Outcome handOn(Outcome outcome, long iova, Extent found, Workspace whole) {
        if (outcome == Outcome.OK) {
            found.set(extent.last(), extent.delta(), extent.flags());
        } else if (outcome == Outcome.FAULT) {
            Workspace inner = extent.workspace();
            return inner == null
                    ? whole.refuse(TwoStageFault.FIRST, WalkFault.TRANSLATION, 0, iova)
                    : whole.refuse(inner);
        }
        return outcome;
    }
}
