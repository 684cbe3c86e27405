// SPDX-License-Identifier: Apache-2.0
/** What a driver of AMD's IOMMU puts into memory: context structures, decoded for who walks. */
@NullMarked
package org.ioasis.amd;

import org.jspecify.annotations.NullMarked;
