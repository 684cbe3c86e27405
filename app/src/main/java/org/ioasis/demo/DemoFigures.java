// SPDX-License-Identifier: Apache-2.0
package org.ioasis.demo;

import java.util.LinkedHashMap;
import java.util.Map;

/** What a demonstration counts. One thread. */
public final class DemoFigures {
    long requests;
    long bytes;
    long verifiedBytes;
    long fileBytes;
    long maps;
    long unmaps;
    long shots;
    long stopped;
    long faults;
    long wrong;

    DemoFigures() {}

    /** Requests of the disk. */
    public long requests() {
        return requests;
    }

    /** Bytes that the disk has written or read. */
    public long bytes() {
        return bytes;
    }

    /** Bytes that were read back and are what was written. */
    public long verifiedBytes() {
        return verifiedBytes;
    }

    /** Bytes of the disk's file that were looked at in the end. */
    public long fileBytes() {
        return fileBytes;
    }

    /** Buffers mapped for a request. */
    public long maps() {
        return maps;
    }

    /** Buffers taken away after it. */
    public long unmaps() {
        return unmaps;
    }

    /** Accesses of the rogue. */
    public long shots() {
        return shots;
    }

    /** Those that the IOMMU has stopped. */
    public long stopped() {
        return stopped;
    }

    /** Faults that the driver was told of: alike ones are told once. */
    public long faults() {
        return faults;
    }

    /** Pieces that were not what they should be. */
    public long wrong() {
        return wrong;
    }

    /** All of them by name, in the order for people. */
    public Map<String, Long> byName() {
        Map<String, Long> all = new LinkedHashMap<>();
        all.put("requests", requests);
        all.put("bytes", bytes);
        all.put("verified_bytes", verifiedBytes);
        all.put("file_bytes", fileBytes);
        all.put("wrong", wrong);
        all.put("maps", maps);
        all.put("unmaps", unmaps);
        all.put("rogue_accesses", shots);
        all.put("rogue_stopped", stopped);
        all.put("faults", faults);
        return all;
    }

    /** Something was done, all of it right, and nothing got out. */
    public boolean isOk() {
        return wrong == 0
                && verifiedBytes > 0
                && fileBytes > 0
                && shots > 0
                && stopped == shots
                && faults > 0;
    }
}
