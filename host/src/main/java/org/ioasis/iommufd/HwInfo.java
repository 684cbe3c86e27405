// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/**
 * What an IOMMU says of itself.
 *
 * @param type of the data
 * @param data its registers, in its own layout
 */
public record HwInfo(int type, byte[] data) {}
