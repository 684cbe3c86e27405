// SPDX-License-Identifier: Apache-2.0
/**
 * Guest memory as devices see it: the table of regions, the guard under which an access runs, and
 * the one interface through which a device reads and writes.
 */
@NullMarked
package org.ioasis.memory;

import org.jspecify.annotations.NullMarked;
