// SPDX-License-Identifier: Apache-2.0
package org.ioasis.amd;

import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.Root;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.ioasis.iommu.pagetable.format.X86Format;
import org.ioasis.spec.AmdDevice;
import org.jspecify.annotations.Nullable;

/**
 * A device table entry (AMD IOMMU, 2.2.2.1), by the words that say something of translation: as the
 * table has it, or as a VMM hands a guest's over. Immutable; any thread.
 */
public record DeviceEntry(long word0, long word1, long word2) {
    private static final int BITS_4_LEVELS = 48;
    private static final int BITS_5_LEVELS = 57;

    public boolean isValid() {
        return (word0 & AmdDevice.VALID) != 0;
    }

    public boolean hasTranslation() {
        return (word0 & AmdDevice.TRANSLATION_VALID) != 0;
    }

    /** Levels of the host's table; 0: addresses are what they are, 7 is reserved. */
    public int mode() {
        return (int) (word0 >>> AmdDevice.MODE_AT & AmdDevice.MODE_MASK);
    }

    /** GV: requests with a PASID have tables of the guest's. */
    public boolean hasGuest() {
        return (word0 & AmdDevice.GUEST_VALID) != 0;
    }

    /** GIOV: those without one have that of PASID 0. */
    public boolean isGuestWithoutPasid() {
        return hasGuest() && (word0 & AmdDevice.GUEST_WITHOUT_PASID) != 0;
    }

    public int domain() {
        return (int) (word1 & AmdDevice.DOMAIN);
    }

    /** GLX: levels of the guest CR3 table less one; 3 is reserved. */
    public int guestIndexLevels() {
        return (int) (word0 >>> AmdDevice.GLX_AT & AmdDevice.GLX_MASK);
    }

    /** Where that table is, behind the host's if there is one. */
    public long gcr3() {
        long low = word0 >>> AmdDevice.GCR3_LOW_AT & AmdDevice.GCR3_LOW_MASK;
        long middle = word1 >>> AmdDevice.GCR3_MIDDLE_AT & AmdDevice.GCR3_MIDDLE_MASK;
        long high = word1 >>> AmdDevice.GCR3_HIGH_AT & AmdDevice.GCR3_HIGH_MASK;
        return low << AmdDevice.GCR3_LOW_TO
                | middle << AmdDevice.GCR3_MIDDLE_TO
                | high << AmdDevice.GCR3_HIGH_TO;
    }

    /** Four or five as their number says; others are reserved. */
    public int guestLevels() {
        return (int) (word2 >>> AmdDevice.GUEST_LEVELS_AT & AmdDevice.GUEST_LEVELS_MASK);
    }

    /** True if it says nothing that is reserved. */
    public boolean isLegal() {
        boolean isGuestLegal =
                !hasGuest()
                        || (guestIndexLevels() != AmdDevice.GLX_RESERVED
                                && guestLevels() <= AmdDevice.GUEST_LEVELS_5);
        return mode() != AmdDevice.MODE_RESERVED && isGuestLegal;
    }

    /** What the entry lets through, whatever tables say: IR and IW. */
    public int rights() {
        return Rights.EXECUTE
                | Rights.USER
                | ((word0 & AmdDevice.READ) == 0 ? 0 : Rights.READ)
                | ((word0 & AmdDevice.WRITE) == 0 ? 0 : Rights.WRITE);
    }

    /** The host's table; null if there is none. */
    @Nullable Stage host() {
        if (mode() == 0) {
            return null;
        }
        boolean marks = (word0 >>> AmdDevice.MARKS_AT & AmdDevice.MARKS_MASK) != 0;
        PageTableFormat format = Amdv1Format.ofMode(mode(), false);
        long root = Root.of(word0 & AmdDevice.ROOT, mode() - 1);
        return new Stage(format, root, marks, 0);
    }

    /**
     * A guest's table.
     *
     * @param isSigned false for the table of PASID 0 without a PASID, whose addresses count from 0
     */
    public Stage guest(long root, boolean isSigned, int outputBits) {
        int bits = guestLevels() == AmdDevice.GUEST_LEVELS_5 ? BITS_5_LEVELS : BITS_4_LEVELS;
        PageTableFormat format = new X86Format(bits, isSigned, outputBits);
        return new Stage(format, Root.of(root, format.firstTop()), true, Rights.USER);
    }
}
