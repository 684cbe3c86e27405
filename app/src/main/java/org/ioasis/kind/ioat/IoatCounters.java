// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.ioat;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;

/** What an I/OAT function has done so far. Written by the loop's thread, read by any. */
final class IoatCounters {
    /** Descriptors that were carried out. */
    final AtomicLong descriptors = new AtomicLong();

    /** Bytes that were copied. */
    final AtomicLong bytes = new AtomicLong();

    /** Completions that were written to memory. */
    final AtomicLong completions = new AtomicLong();

    /** Vectors that were sent. */
    final AtomicLong interrupts = new AtomicLong();

    /** Channels that halted for an error. */
    final AtomicLong errors = new AtomicLong();

    /** Times that a channel had done enough in a row and let others go first. */
    final AtomicLong postponed = new AtomicLong();

    /** Resets of a channel by its driver. */
    final AtomicLong resets = new AtomicLong();

    static void count(AtomicLong counter) {
        add(counter, 1);
    }

    /** One thread writes. */
    static void add(AtomicLong counter, long more) {
        counter.setOpaque(counter.getPlain() + more);
    }

    /** By name, in the order for people. */
    Map<String, Long> byName() {
        Map<String, Long> all = new LinkedHashMap<>();
        all.put("descriptors", descriptors.getOpaque());
        all.put("bytes", bytes.getOpaque());
        all.put("completions", completions.getOpaque());
        all.put("interrupts", interrupts.getOpaque());
        all.put("errors", errors.getOpaque());
        all.put("postponed", postponed.getOpaque());
        all.put("resets", resets.getOpaque());
        return all;
    }
}
