// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static org.ioasis.spec.VirtioIommuTables.TABLE_EAFE;
import static org.ioasis.spec.VirtioIommuTables.TABLE_WPE;
import static org.ioasis.spec.VirtioIommuTables.WIDTH_4_LEVELS;
import static org.ioasis.spec.VirtioIommuTables.WIDTH_5_LEVELS;

import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.Root;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.format.X86Format;
import org.ioasis.spec.X86Table;

/**
 * A table that its driver owns, as it is handed over: a first level of VT-d. Immutable; any thread.
 *
 * @param root where its top table is, guest-physical
 * @param flags TABLE_
 * @param width bits of an address
 */
public record HandedTable(long root, long flags, int width) {
    private static final long PAGE_MASK = 0xfff;

    /** False if no table can be so. Supervisors make no requests here, so SRE is not offered. */
    public boolean isPossible() {
        return (flags & ~(TABLE_EAFE | TABLE_WPE)) == 0
                && (width == WIDTH_4_LEVELS || width == WIDTH_5_LEVELS)
                && (root & PAGE_MASK) == 0
                && Bits.fits(root, X86Table.OUTPUT_BITS);
    }

    /** What is walked. Requests of devices are a user's, whom WPE says nothing about. */
    public Stage stage() {
        int traits = (flags & TABLE_EAFE) == 0 ? 0 : X86Format.MARKS_EXTENDED;
        PageTableFormat format = new X86Format(width, true, X86Table.OUTPUT_BITS, traits);
        return new Stage(format, Root.of(root, format.firstTop()), true, Rights.USER);
    }
}
