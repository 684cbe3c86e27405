// SPDX-License-Identifier: Apache-2.0
/** Refused accesses, kept until the driver has been told: bounded, coalesced, explained. */
@NullMarked
package org.ioasis.iommu.fault;

import org.jspecify.annotations.NullMarked;
