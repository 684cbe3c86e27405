// SPDX-License-Identifier: Apache-2.0
package org.ioasis.demo;

import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/** What a demonstration of page-table handover counts. One thread. */
public final class HandoverFigures {
    long writes;
    long reads;

    /** Words read that were not what they should be. */
    long wrong;

    long requests;
    long answers;
    long invalidations;

    /** Accesses to a page that was taken away which went through. */
    long stale;

    long shots;

    /** Accesses of the rogue that the IOMMU has stopped. */
    long stopped;

    HandoverFigures() {}

    /** Words that the device has written to pages of the process. */
    public long writes() {
        return writes;
    }

    /** Words that it has read and that were compared. */
    public long reads() {
        return reads;
    }

    /** Pages that the device has asked for. */
    public long requests() {
        return requests;
    }

    /** Answers of the driver. */
    public long answers() {
        return answers;
    }

    /** Pages that were taken away. */
    public long invalidations() {
        return invalidations;
    }

    /** Accesses of the rogue. */
    public long shots() {
        return shots;
    }

    /** All of them by name, in the order for people. */
    public Map<String, Long> byName() {
        Map<String, Long> all = new LinkedHashMap<>();
        all.put("writes", writes);
        all.put("reads", reads);
        all.put("wrong", wrong);
        all.put("page_requests", requests);
        all.put("page_responses", answers);
        all.put("invalidations", invalidations);
        all.put("stale", stale);
        all.put("rogue_accesses", shots);
        all.put("rogue_stopped", stopped);
        return all;
    }

    /** Something was done, all of it right, and nothing got out. */
    public boolean isOk() {
        return wrong == 0
                && stale == 0
                && writes > 0
                && reads > 0
                && invalidations > 0
                && requests > 0
                && answers == requests
                && shots > 0
                && stopped == shots;
    }

    /** In one line. */
    public String text(double seconds) {
        return String.format(
                Locale.ROOT,
                "%s: %.1f s: a device wrote %,d and read %,d words of a process, %,d wrong; asked for %,d"
                        + " pages and had %,d answers; %,d pages were taken away, %,d accesses went"
                        + " through after that; %,d shots of a rogue, %,d got out",
                isOk() ? "ok" : "FAILED",
                seconds,
                writes,
                reads,
                wrong,
                requests,
                answers,
                invalidations,
                stale,
                shots,
                shots - stopped);
    }
}
