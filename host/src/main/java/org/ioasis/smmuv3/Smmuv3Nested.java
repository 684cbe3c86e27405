// SPDX-License-Identifier: Apache-2.0
package org.ioasis.smmuv3;

import static org.ioasis.iommufd.HwDevice.NO_PASID;

import org.ioasis.iommu.Domain;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.ContextAnswer;
import org.ioasis.iommu.pagetable.smmuv3.StreamEntry;
import org.ioasis.iommu.pagetable.smmuv3.StreamRefusal;
import org.ioasis.iommu.pagetable.smmuv3.StreamTable;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.engine.EngineDevice;
import org.ioasis.iommufd.engine.EngineNested;
import org.ioasis.spec.SmmuTables;
import org.jspecify.annotations.Nullable;

/**
 * What a guest says of one of its streams: nothing, memory as it is, or context descriptors of its
 * own, which are looked at when a device is attached and when the guest says that one is another.
 * Under its context's lock.
 */
final class Smmuv3Nested extends EngineNested {
    // What a guest may set of an entry; all else is the host's.
    private static final long WORD0 =
            SmmuTables.STE_VALID
                    | SmmuTables.STE_CONFIG_MASK << SmmuTables.STE_CONFIG_AT
                    | SmmuTables.STE_S1FMT_MASK << SmmuTables.STE_S1FMT_AT
                    | SmmuTables.STE_S1CONTEXTPTR
                    | SmmuTables.STE_S1CDMAX_MASK << SmmuTables.STE_S1CDMAX_AT;
    private static final long WORD1 =
            SmmuTables.STE_S1_ATTRIBUTES
                    | SmmuTables.STE_S1STALLD
                    | SmmuTables.STE_EATS_MASK << SmmuTables.STE_EATS_AT;
    private static final int CONFIG_STAGE1 = SmmuTables.CONFIG_BYPASS | SmmuTables.CONFIG_STAGE1;

    private final Smmuv3Viommu viommu;
    private final StreamEntry entry;

    private Smmuv3Nested(Smmuv3Viommu viommu, StreamEntry entry) {
        super(viommu.parent());
        this.viommu = viommu;
        this.entry = entry;
    }

    /**
     * By the first two words of a stream table entry.
     *
     * @throws IommufdException EIO: something that a guest may not say
     */
    static Smmuv3Nested of(Smmuv3Viommu viommu, long word0, long word1) throws IommufdException {
        if ((word0 & SmmuTables.STE_VALID) == 0) {
            // Whatever else it says.
            return new Smmuv3Nested(viommu, new StreamEntry(0, 0, 0, 0));
        }
        StreamEntry entry = new StreamEntry(word0, word1, 0, 0);
        int config = entry.config();
        long eats = word1 >>> SmmuTables.STE_EATS_AT & SmmuTables.STE_EATS_MASK;
        if ((word0 & ~WORD0) != 0
                || (word1 & ~WORD1) != 0
                || (config != SmmuTables.CONFIG_ABORT
                        && config != SmmuTables.CONFIG_BYPASS
                        && config != CONFIG_STAGE1)
                || eats > SmmuTables.EATS_FULL_ATS) {
            throw new IommufdException(
                    Errno.EIO, "a guest may not have the entry 0x%x, 0x%x".formatted(word0, word1));
        }
        return new Smmuv3Nested(viommu, entry);
    }

    private boolean hasContexts() {
        return entry.isValid() && entry.config() == CONFIG_STAGE1;
    }

    @Override
    protected boolean ownsPasids() {
        return true;
    }

    @Override
    protected void check(EngineDevice device) throws IommufdException {
        if (hasContexts() && !viommu.knows(device)) {
            throw new IommufdException(Errno.ENOENT, "the guest has no name for the device");
        }
    }

    @Override
    protected @Nullable Domain target(EngineDevice device, int pasid) throws IommufdException {
        if (hasContexts()) {
            AddressSpace space = context(pasid);
            if (space == null) {
                return null;
            }
            // S1DSS can say that what has no substream is not the guest's to translate.
            return space.first() == null
                    ? parent.engine()
                    : viommu.iommu()
                            .walkedWhileUsed(
                                    new AddressSpace(
                                            space.first(),
                                            null,
                                            viommu.vmid(),
                                            space.space(),
                                            space.rights()),
                                    parent);
        }
        boolean isBypass =
                entry.isValid() && entry.config() == SmmuTables.CONFIG_BYPASS && pasid == NO_PASID;
        return isBypass ? parent.engine() : null;
    }

    private @Nullable AddressSpace context(int pasid) {
        if (!entry.isLegal()) {
            return null;
        }
        int substream = pasid == NO_PASID ? StreamTable.NO_SSID : pasid;
        ContextAnswer<StreamRefusal> answer =
                viommu.iommu()
                        .look(
                                parent,
                                tables ->
                                        StreamTable.findStage1(
                                                tables, entry, substream, Smmuv3Iommu.OUTPUT_BITS));
        return answer.refusal() == null ? answer.space() : null;
    }
}
