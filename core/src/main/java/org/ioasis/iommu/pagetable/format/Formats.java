// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable.format;

import java.util.List;
import org.ioasis.iommu.pagetable.Half;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.spec.ArmTable;
import org.ioasis.spec.VtdSecondStage;
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
                    new X86Format(56, false, X86Table.OUTPUT_BITS),
                    new VtdSecondStageFormat(39, VtdSecondStage.OUTPUT_BITS, false),
                    new VtdSecondStageFormat(48, VtdSecondStage.OUTPUT_BITS, true),
                    new VtdSecondStageFormat(57, VtdSecondStage.OUTPUT_BITS, false),
                    ArmFormat.stage1(12, 48, ArmTable.ADDRESS_BITS, Half.LOWER),
                    ArmFormat.stage1(12, 39, ArmTable.ADDRESS_BITS, Half.UPPER),
                    ArmFormat.stage1(14, 47, ArmTable.ADDRESS_BITS, Half.LOWER),
                    ArmFormat.stage1(16, 48, ArmTable.ADDRESS_BITS, Half.LOWER),
                    ArmFormat.stage1(14, 36, ArmTable.ADDRESS_BITS, Half.UPPER),
                    ArmFormat.stage2(12, 40, 40),
                    ArmFormat.stage2(14, 40, 40),
                    ArmFormat.stage2(16, 42, 42),
                    TceFormat.window(12, 40, 2),
                    TceFormat.window(16, 44, 3));

    private Formats() {}
}
