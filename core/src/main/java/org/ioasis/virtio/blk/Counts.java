// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import static org.ioasis.spec.VirtioBlk.S_OK;
import static org.ioasis.spec.VirtioBlk.S_UNSUPP;

import org.ioasis.memory.Count;
import org.ioasis.virtio.WorkCounters;

/** The numbers behind {@link BlkCounters}: written by the device's thread alone, read by any. */
final class Counts {
    /** Answers to one type of request. */
    static final class Answers {
        private final Count ok = new Count();
        private final Count ioErrors = new Count();
        private final Count unsupported = new Count();

        void add(int status) {
            switch (status) {
                case S_OK -> ok.increment();
                case S_UNSUPP -> unsupported.increment();
                default -> ioErrors.increment();
            }
        }

        private BlkCounters.Answers read() {
            return new BlkCounters.Answers(ok.read(), ioErrors.read(), unsupported.read());
        }
    }

    final Answers reads = new Answers();
    final Answers writes = new Answers();
    final Answers flushes = new Answers();
    final Answers ids = new Answers();
    final Answers discards = new Answers();
    final Answers zeroes = new Answers();
    final Answers others = new Answers();
    final Count malformed = new Count();
    final Count bytesRead = new Count();
    final Count bytesWritten = new Count();
    final Count cached = new Count();
    final Count poolExhausted = new Count();

    BlkCounters read(WorkCounters work) {
        return new BlkCounters(
                reads.read(),
                writes.read(),
                flushes.read(),
                ids.read(),
                discards.read(),
                zeroes.read(),
                others.read(),
                malformed.read(),
                bytesRead.read(),
                bytesWritten.read(),
                cached.read(),
                poolExhausted.read(),
                work);
    }
}
