// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import static org.ioasis.spec.VfioType1.TYPE1V2_IOMMU;
import static org.ioasis.spec.VfioType1.TYPE1_IOMMU;

import org.ioasis.iommufd.IommufdNode;

/**
 * Containers of type 1, both versions. Immutable; any thread.
 *
 * @param node whose pages they hold, together with what is open of {@code /dev/iommu}
 * @param mappingsMax how many mappings a container takes
 */
public record Type1Kind(IommufdNode node, int mappingsMax) implements ContainerDriver.Kind {
    /** Containers that take {@link Type1#MAPPINGS_MAX} mappings. */
    public Type1Kind(IommufdNode node) {
        this(node, Type1.MAPPINGS_MAX);
    }

    @Override
    public long extension(int number) {
        return Type1Calls.extension(null, number);
    }

    @Override
    public boolean is(int number) {
        return number == TYPE1_IOMMU || number == TYPE1V2_IOMMU;
    }

    @Override
    public ContainerDriver open(int number) {
        return new Type1(node, number == TYPE1V2_IOMMU, mappingsMax);
    }
}
