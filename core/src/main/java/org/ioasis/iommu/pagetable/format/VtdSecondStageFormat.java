// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable.format;

import org.ioasis.iommu.pagetable.EntryKind;
import org.ioasis.iommu.pagetable.Half;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.spec.VtdSecondStage;

/**
 * Second stage of VT-d (Intel Virtualization Technology for Directed I/O, 3.7 and 9.8). Any thread.
 */
public final class VtdSecondStageFormat extends PageSizeBitFormat {
    private static final Layout LAYOUT =
            new Layout(
                    VtdSecondStage.PAGE_LG2,
                    VtdSecondStage.ADDRESS_MASK,
                    VtdSecondStage.PAGE_SIZE,
                    0,
                    VtdSecondStage.DIRTY,
                    VtdSecondStage.LARGEST_PAGE_LEVEL);

    private final boolean isSnooping;

    /**
     * @param bits of an address: 39, 48 or 57, with three, four or five levels
     * @param outputBits that the host has; more in an entry are reserved bits
     * @param isSnooping whether pages force accesses to snoop
     */
    public VtdSecondStageFormat(int bits, int outputBits, boolean isSnooping) {
        super("vtd-second-stage-" + bits, LAYOUT, bits, outputBits, top(bits), Half.LOWER);
        this.isSnooping = isSnooping;
        if ((bits != 39 && bits != 48 && bits != 57) || outputBits > VtdSecondStage.OUTPUT_BITS) {
            throw new IllegalArgumentException(
                    "second stage from %d to %d bits".formatted(bits, outputBits));
        }
    }

    private static int top(int bits) {
        return (bits - VtdSecondStage.PAGE_LG2 - 1) / INDEX_LG2;
    }

    @Override
    boolean isPresent(long entry) {
        return (entry & (VtdSecondStage.READ | VtdSecondStage.WRITE)) != 0;
    }

    @Override
    long present() {
        return VtdSecondStage.READ;
    }

    @Override
    long forbidding() {
        return VtdSecondStage.READ | VtdSecondStage.WRITE;
    }

    @Override
    public int rights(long entry, int level) {
        return Rights.EXECUTE
                | Rights.USER
                | ((entry & VtdSecondStage.READ) == 0 ? 0 : Rights.READ)
                | ((entry & VtdSecondStage.WRITE) == 0 ? 0 : Rights.WRITE);
    }

    @Override
    public long tableEntry(long address, int level) {
        return VtdSecondStage.READ | VtdSecondStage.WRITE | address;
    }

    @Override
    public long leafEntry(long output, int level, int sizeLg2, long attributes, int item) {
        return output | attributes | (level == 0 ? 0 : VtdSecondStage.PAGE_SIZE);
    }

    @Override
    public long attributes(int rights) {
        // An entry without both would not be present.
        if ((rights & (Rights.READ | Rights.WRITE)) == 0) {
            return NO_ATTRIBUTES;
        }
        return (isSnooping ? VtdSecondStage.SNOOP : 0)
                | ((rights & Rights.READ) == 0 ? 0 : VtdSecondStage.READ)
                | ((rights & Rights.WRITE) == 0 ? 0 : VtdSecondStage.WRITE);
    }

    @Override
    public long attributesOf(long entry, int level) {
        return entry & (VtdSecondStage.READ | VtdSecondStage.WRITE | VtdSecondStage.SNOOP);
    }

    @Override
    public long marked(long entry, EntryKind kind, boolean isWrite) {
        return entry | VtdSecondStage.ACCESSED | (isWrite ? VtdSecondStage.DIRTY : 0);
    }

    @Override
    public boolean tracksDirty() {
        return true;
    }
}
