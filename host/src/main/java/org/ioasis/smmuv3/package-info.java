// SPDX-License-Identifier: Apache-2.0
/** What a driver of Arm's SMMUv3 says: stream table entries, and commands. */
@NullMarked
package org.ioasis.smmuv3;

import org.jspecify.annotations.NullMarked;
