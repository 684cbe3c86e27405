// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.format.TceFormat;
import org.jspecify.annotations.Nullable;

/**
 * A kind of IOMMU: which tables its windows have. Groups of one kind can share a table; whether two
 * are of one kind is whether this is the same object. Any thread.
 */
public interface TableFamily {
    /** Windows of TCEs, as bare-metal POWER has them. */
    TableFamily TCE =
            new TableFamily() {
                @Override
                public @Nullable PageTableFormat format(int pageLg2, int sizeLg2, int levels) {
                    return TceFormat.admits(pageLg2, sizeLg2, levels)
                            ? TceFormat.window(pageLg2, sizeLg2, levels)
                            : null;
                }
            };

    /** Windows whose tables have one format, whatever their size: as embedded processors have. */
    static TableFamily of(PageTableFormat format) {
        return new TableFamily() {
            @Override
            public @Nullable PageTableFormat format(int pageLg2, int sizeLg2, int levels) {
                boolean hasPages = false;
                for (int level = 0; level <= format.lastTop(); level++) {
                    hasPages |= (format.pageSizes(level) >>> pageLg2 & 1) != 0;
                }
                return hasPages && sizeLg2 <= format.inputBits() ? format : null;
            }
        };
    }

    /**
     * The format of a window's table; its addresses begin with the first of the format.
     *
     * @param pageLg2 size of a page
     * @param sizeLg2 bytes of the window
     * @param levels that were asked for
     * @return null: there is no such table
     */
    @Nullable PageTableFormat format(int pageLg2, int sizeLg2, int levels);

    /** Whether windows can be made and removed while the system runs. */
    default boolean hasDynamicWindows() {
        return true;
    }
}
