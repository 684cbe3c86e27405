// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommu.*;

import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;

/** What the driver reads in the configuration (virtio 1.4, 5.13.4), byte by byte. Any thread. */
final class ConfigFields {
    private ConfigFields() {}

    static long read(int offset, int size, Iommu iommu, long offered) {
        long value = 0;
        for (int i = size - 1; i >= 0; i--) {
            value = value << 8 | octet(offset + i, iommu, offered);
        }
        return value;
    }

    private static long octet(int offset, Iommu iommu, long offered) {
        IommuOptions options = iommu.options();
        long field;
        int start;
        if (offset < CONFIG_INPUT_START) {
            field = options.pageSizeMask();
            start = CONFIG_PAGE_SIZE_MASK;
        } else if (offset < CONFIG_INPUT_END) {
            field = options.inputFirst();
            start = CONFIG_INPUT_START;
        } else if (offset < CONFIG_DOMAIN_START) {
            field = options.inputLast();
            start = CONFIG_INPUT_END;
        } else if (offset < CONFIG_DOMAIN_END) {
            field = options.domainFirst();
            start = CONFIG_DOMAIN_START;
        } else if (offset < CONFIG_PROBE_SIZE) {
            field = options.domainLast();
            start = CONFIG_DOMAIN_END;
        } else if (offset < CONFIG_BYPASS) {
            field = (offered & F_PROBE) != 0 ? VirtioIommuDevice.PROPERTIES_SIZE : 0;
            start = CONFIG_PROBE_SIZE;
        } else {
            field = (offered & F_BYPASS_CONFIG) != 0 && iommu.isBypassing() ? 1 : 0;
            start = CONFIG_BYPASS;
        }
        return field >>> (8 * (offset - start)) & 0xff;
    }
}
