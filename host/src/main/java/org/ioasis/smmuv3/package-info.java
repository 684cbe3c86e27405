// SPDX-License-Identifier: Apache-2.0
/** What a driver of Arm's SMMUv3 puts into memory: context structures, decoded for who walks. */
@NullMarked
package org.ioasis.smmuv3;

import org.jspecify.annotations.NullMarked;
