// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.net;

import org.ioasis.virtio.WorkCounters;

/**
 * What a network device has done since it was made, over all resets. "Sent" is what the guest
 * sends. Numbers of one snapshot are read one after the other while the device works.
 *
 * @param sent frames that the link took
 * @param sentBytes their bytes, without the header of virtio
 * @param lost frames that the link did not take and never will
 * @param malformed chains without room for the headers of virtio and Ethernet
 * @param sentTooLong frames longer than the MTU allows, dropped
 * @param received frames that the guest got
 * @param receivedBytes their bytes, without the header of virtio
 * @param receivedTooLong frames from the link of a length that no guest must see, dropped
 * @param overrun frames from the link that found {@link VirtioNet#FRAME_LIMIT} others waiting, or
 *     no driver, dropped
 * @param buffersTooSmall buffers that had no room for a frame, which was dropped
 */
public record NetCounters(
        long sent,
        long sentBytes,
        long lost,
        long malformed,
        long sentTooLong,
        long received,
        long receivedBytes,
        long receivedTooLong,
        long overrun,
        long buffersTooSmall,
        WorkCounters work) {}
