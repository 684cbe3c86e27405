// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vtd;

import static org.ioasis.spec.IommufdNesting.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.Root;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.format.X86Format;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.spec.VtdRegisters;

/**
 * A guest's first stage as its VMM hands it over: all of it is looked at before there is one, where
 * Linux looks at width and flags when a device is attached. Any thread.
 */
final class FirstStage {
    private static final int WIDTH_4_LEVELS = 48;
    private static final int WIDTH_5_LEVELS = 57;
    private static final long PAGE_MASK = 0xfff;
    private static final int OUTPUT_BITS = 52;

    private FirstStage() {}

    /**
     * @param data struct iommu_hwpt_vtd_s1
     * @throws IommufdException EOPNOTSUPP: what is not known; EINVAL: what the IOMMU does not have
     */
    static Stage of(VtdIommu iommu, MemorySegment data) throws IommufdException {
        long flags = data.get(ValueLayout.JAVA_LONG, VTD_S1_FLAGS);
        long table = data.get(ValueLayout.JAVA_LONG, VTD_S1_PGTBL_ADDR);
        int width = data.get(ValueLayout.JAVA_INT, VTD_S1_ADDR_WIDTH);
        if ((flags & ~(VTD_S1_SRE | VTD_S1_EAFE | VTD_S1_WPE)) != 0
                || data.get(ValueLayout.JAVA_INT, VTD_S1_RESERVED) != 0) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "an unknown flag of a first stage, or a reserved field");
        }
        boolean hasWidth =
                width == WIDTH_4_LEVELS
                        || (width == WIDTH_5_LEVELS && iommu.hasCap(VtdRegisters.CAP_FL5LP));
        if (!hasWidth) {
            throw new IommufdException(
                    Errno.EINVAL, "the IOMMU has no first stage of %d bits".formatted(width));
        }
        if (((flags & VTD_S1_SRE) != 0 && !iommu.hasEcap(VtdRegisters.ECAP_SRS))
                || ((flags & VTD_S1_EAFE) != 0 && !iommu.hasEcap(VtdRegisters.ECAP_EAFS))) {
            throw new IommufdException(
                    Errno.EINVAL, "the IOMMU does not have what flags 0x%x ask".formatted(flags));
        }
        if ((table & PAGE_MASK) != 0 || table >>> OUTPUT_BITS != 0) {
            throw new IommufdException(Errno.EINVAL, "there is no table at 0x%x".formatted(table));
        }
        // Requests of devices are a user's, whom WPE says nothing about.
        int traits = (flags & VTD_S1_EAFE) == 0 ? 0 : X86Format.MARKS_EXTENDED;
        PageTableFormat format = new X86Format(width, true, OUTPUT_BITS, traits);
        return new Stage(format, Root.of(table, format.firstTop()), true, Rights.USER);
    }
}
