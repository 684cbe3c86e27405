// SPDX-License-Identifier: Apache-2.0
/**
 * IOMMUs of POWER: windows of a group and their tables, containers of VFIO that map registered
 * memory into them, a guest's own tables, and the hypercalls that write both, in tiers. A program's
 * memory is handed in; locks are taken in the order guest table, container, hardware table,
 * registered memory.
 */
@NullMarked
package org.ioasis.spapr;

import org.jspecify.annotations.NullMarked;
