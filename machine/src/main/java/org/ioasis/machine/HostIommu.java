// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import org.ioasis.amd.AmdIommu;
import org.ioasis.iommufd.engine.Architecture;
import org.ioasis.smmuv3.Smmuv3Iommu;
import org.ioasis.spec.AmdFeatures;
import org.ioasis.vtd.VtdIommu;

/**
 * What programs take the IOMMU for that is in front of the devices of a {@link ProgramMachine}: how
 * it describes itself, and which tables of guests it walks. Any thread.
 */
public enum HostIommu {
    /** It has page tables, and nothing for guests. */
    PLAIN(_ -> Architecture.PLAIN),
    /** VT-d in scalable mode: first stages of guests. */
    VTD(VtdIommu.maker(VtdIommu.CAP, VtdIommu.ECAP)),
    /** SMMUv3: stream table entries and context descriptors of guests, behind a vIOMMU. */
    SMMUV3(Smmuv3Iommu.maker()),
    /** AMD: device table entries and guest CR3 tables, behind a vIOMMU. */
    AMD(
            AmdIommu.maker(
                    AmdFeatures.GT
                            | AmdFeatures.PPR
                            | AmdFeatures.GATS_5_LEVELS << AmdFeatures.GATS_AT));

    @SuppressWarnings("ImmutableEnumChecker") // a maker has no state
    private final Architecture.Maker maker;

    HostIommu(Architecture.Maker maker) {
        this.maker = maker;
    }

    Architecture.Maker maker() {
        return maker;
    }
}
