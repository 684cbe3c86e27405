// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static org.ioasis.spec.SmmuTables.*;

import org.ioasis.iommu.iotlb.ContextTranslation;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.mapping.Extent;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommu.pagetable.ContextAnswer;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.TableAccess;
import org.ioasis.iommu.pagetable.smmuv3.StreamEntry;
import org.ioasis.iommu.pagetable.smmuv3.StreamRefusal;
import org.ioasis.iommu.pagetable.smmuv3.StreamTable;
import org.ioasis.memory.GuestMemory;
import org.ioasis.spec.ArmTable;

/**
 * Context descriptors of SMMUv3 that their driver owns, one for each PASID, as a stream table entry
 * says them (SMMUv3, 5.2). Immutable; any thread.
 *
 * @param format S1Fmt: linear, or with second levels of one of two sizes
 * @param withoutPasid S1DSS: what becomes of accesses without a PASID
 * @param contexts S1ContextPtr: where the descriptors are, guest-physical
 * @param pasidBits S1CDMax: of PASIDs that have a descriptor; 0: there is one, for no PASID
 */
public record SmmuContexts(int format, int withoutPasid, long contexts, long pasidBits)
        implements HandedTable {

    @Override
    public boolean isPossible() {
        return format <= S1FMT_64K
                && withoutPasid <= S1DSS_SUBSTREAM0
                && Long.compareUnsigned(pasidBits, SUBSTREAM_ID_BITS) <= 0
                && (contexts & Bits.mask(CD_LG2)) == 0
                && Bits.fits(contexts, ArmTable.ADDRESS_BITS);
    }

    @Override
    public boolean hasContexts() {
        return true;
    }

    @Override
    public Translation translation(int tag, GuestMemory memory, Iotlb cached) {
        return new ContextTranslation((tables, pasid) -> find(tables, pasid, tag), memory, cached);
    }

    private ContextAnswer<StreamRefusal> find(TableAccess tables, int pasid, int tag) {
        int substream = pasid == Extent.NO_PASID ? StreamTable.NO_SSID : pasid;
        ContextAnswer<StreamRefusal> found =
                StreamTable.findStage1(tables, entry(), substream, ArmTable.ADDRESS_BITS);
        Stage first = found.refusal() == null ? found.space().first() : null;
        if (first == null) {
            return found; // or memory as it is
        }
        // What a device asks for is a user's.
        Stage asked = new Stage(first.format(), first.root(), first.marks(), Rights.USER);
        int asid = found.space().space();
        return ContextAnswer.of(new AddressSpace(asked, null, tag, asid, Rights.ALL), found.at());
    }

    private StreamEntry entry() {
        long word0 =
                STE_VALID
                        | (long) (CONFIG_BYPASS | CONFIG_STAGE1) << STE_CONFIG_AT
                        | (long) format << STE_S1FMT_AT
                        | contexts
                        | pasidBits << STE_S1CDMAX_AT;
        return new StreamEntry(word0, withoutPasid, 0, 0);
    }
}
