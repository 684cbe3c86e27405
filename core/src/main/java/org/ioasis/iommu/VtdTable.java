// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static org.ioasis.spec.VirtioIommuTables.TABLE_EAFE;
import static org.ioasis.spec.VirtioIommuTables.TABLE_WPE;
import static org.ioasis.spec.VirtioIommuTables.WIDTH_4_LEVELS;
import static org.ioasis.spec.VirtioIommuTables.WIDTH_5_LEVELS;

import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.iotlb.WalkedTranslation;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.Root;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.format.X86Format;
import org.ioasis.memory.GuestMemory;
import org.ioasis.spec.X86Table;

/**
 * A first level of VT-d that its driver owns, as it is handed over. Immutable; any thread.
 *
 * @param root where its top table is, guest-physical
 * @param flags TABLE_
 * @param width bits of an address
 */
public record VtdTable(long root, long flags, int width) implements HandedTable {
    private static final long PAGE_MASK = 0xfff;

    /** Supervisors make no requests here, so SRE is not offered. */
    @Override
    public boolean isPossible() {
        return (flags & ~(TABLE_EAFE | TABLE_WPE)) == 0
                && (width == WIDTH_4_LEVELS || width == WIDTH_5_LEVELS)
                && (root & PAGE_MASK) == 0
                && Bits.fits(root, X86Table.OUTPUT_BITS);
    }

    @Override
    public boolean hasContexts() {
        return false;
    }

    @Override
    public Translation translation(int tag, GuestMemory memory, Iotlb cached) {
        return WalkedTranslation.of(
                new AddressSpace(stage(), null, tag, 0, Rights.ALL), memory, cached);
    }

    /** What is walked. Requests of devices are a user's, whom WPE says nothing about. */
    private Stage stage() {
        int traits = (flags & TABLE_EAFE) == 0 ? 0 : X86Format.MARKS_EXTENDED;
        PageTableFormat format = new X86Format(width, true, X86Table.OUTPUT_BITS, traits);
        return new Stage(format, Root.of(root, format.firstTop()), true, Rights.USER);
    }
}
