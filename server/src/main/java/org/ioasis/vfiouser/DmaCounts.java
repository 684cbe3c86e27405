// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

/**
 * What device servers have asked of memory by message. Immutable; any thread.
 *
 * @param refused accesses that did not go through: faults, and those of a function that is no bus
 *     master
 * @param malformed messages that asked for nothing that there is
 */
public record DmaCounts(
        long reads, long readBytes, long writes, long writtenBytes, long refused, long malformed) {}
