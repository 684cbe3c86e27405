// SPDX-License-Identifier: Apache-2.0
/**
 * The IOMMU engine: endpoints, domains, mappings, translation. Knows addresses and permissions
 * only: no virtio, no socket, no clock and no randomness of its own. One thread, the machine's
 * loop, changes it; any thread translates.
 */
@NullMarked
package org.ioasis.iommu;

import org.jspecify.annotations.NullMarked;
