// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

/** What is spoken between an IOMMU and its VMM. Any thread. */
public enum IommuTransport {
    /** The IOMMU is a PCI function whose registers are here. */
    VFIO_USER,
    /** The VMM has the registers, and hands over memory and rings. */
    VHOST_USER
}
