// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import org.ioasis.virtio.WorkCounters;

/**
 * What a disk has done since it was made, over all resets. Numbers of one snapshot are read one
 * after the other while the device works, so they may differ by what happens in between.
 *
 * @param reads IN requests answered
 * @param writes OUT requests answered
 * @param flushes FLUSH requests answered
 * @param ids GET_ID requests answered
 * @param discards DISCARD requests answered
 * @param zeroes WRITE_ZEROES requests answered
 * @param others requests of other types, and those whose type could not be read
 * @param malformed chains without a byte for the status, returned with used length 0
 * @param bytesRead bytes of data copied to the guest
 * @param bytesWritten bytes of OUT requests given to the store
 * @param cached pieces of IN requests that were read without an I/O thread
 * @param poolExhausted how often the device found all its requests in use
 */
public record BlkCounters(
        Answers reads,
        Answers writes,
        Answers flushes,
        Answers ids,
        Answers discards,
        Answers zeroes,
        Answers others,
        long malformed,
        long bytesRead,
        long bytesWritten,
        long cached,
        long poolExhausted,
        WorkCounters work) {

    /** Requests of one type by status: OK, IOERR and UNSUPP. */
    public record Answers(long ok, long ioErrors, long unsupported) {
        /** All together. */
        public long total() {
            return ok + ioErrors + unsupported;
        }
    }
}
