// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable.format;

import java.util.List;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.spec.X86Table;

/** The formats that there are, with the sizes that are in use. Any thread. */
public final class Formats {
    /** Each of them passes the same tests. */
    public static final List<PageTableFormat> ALL =
            List.of(
                    Amdv1Format.growing(3, false),
                    Amdv1Format.fixed(32, true),
                    Amdv1Format.mock(),
                    new X86Format(48, true, X86Table.OUTPUT_BITS),
                    new X86Format(57, true, X86Table.OUTPUT_BITS),
                    new X86Format(47, false, X86Table.OUTPUT_BITS),
                    new X86Format(56, false, X86Table.OUTPUT_BITS));

    private Formats() {}
}
