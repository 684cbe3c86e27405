// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.rng;

import org.ioasis.virtio.WorkCounters;

/**
 * What an entropy device has done since it was made, over all resets. Numbers of one snapshot are
 * read one after the other while the device works.
 *
 * @param requests chains that came back with random bytes
 * @param bytes random bytes given
 * @param malformed chains without a writable byte, returned with used length 0
 */
public record RngCounters(long requests, long bytes, long malformed, WorkCounters work) {}
