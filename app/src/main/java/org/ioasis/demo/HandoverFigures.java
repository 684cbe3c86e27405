// SPDX-License-Identifier: Apache-2.0
package org.ioasis.demo;

import java.util.Locale;

/** What a demonstration of page-table handover counts. One thread. */
public final class HandoverFigures {
    long writes;
    long reads;
    long wrong;
    long requests;
    long answers;
    long invalidations;
    long stale;
    long shots;
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

    /** Those that were not what they should be. */
    public long wrong() {
        return wrong;
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

    /** Accesses to a page that was taken away which went through. */
    public long stale() {
        return stale;
    }

    /** Accesses of the rogue. */
    public long shots() {
        return shots;
    }

    /** Those that the IOMMU has stopped. */
    public long stopped() {
        return stopped;
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
