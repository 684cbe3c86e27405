// SPDX-License-Identifier: Apache-2.0
/**
 * The allocator of I/O address space ids (PASIDs), an infrastructure of its own that drivers call
 * directly: one id space that modules with different private data share, custom allocators that
 * take precedence, and a layer of sets with quotas, private numbering and notifiers on top.
 * Look-ups take no lock; all that changes something takes the allocator's.
 */
@NullMarked
package org.ioasis.ioasid;

import org.jspecify.annotations.NullMarked;
