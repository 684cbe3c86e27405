// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

/**
 * What a device server has of guest memory. Immutable; any thread.
 *
 * @param regions that it has now
 * @param regionsMax how many it takes at a time, as it has said or as it has shown by refusing one;
 *     0 before the first session
 * @param maps regions that it has been told of so far
 * @param unmaps regions that have been taken away again
 * @param refusals requests of the guest's that were refused, because it takes no more
 */
public record PassedCounts(int regions, int regionsMax, long maps, long unmaps, long refusals) {}
