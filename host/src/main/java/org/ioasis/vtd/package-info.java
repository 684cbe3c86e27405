// SPDX-License-Identifier: Apache-2.0
/**
 * What a driver of Intel's VT-d puts into memory: context structures, decoded for who walks, and
 * the queue in which it asks for invalidations.
 */
@NullMarked
package org.ioasis.vtd;

import org.jspecify.annotations.NullMarked;
