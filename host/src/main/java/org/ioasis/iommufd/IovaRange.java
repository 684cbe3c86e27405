// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/** IOVAs {@code first..last}, inclusive and unsigned. */
public record IovaRange(long first, long last) {}
