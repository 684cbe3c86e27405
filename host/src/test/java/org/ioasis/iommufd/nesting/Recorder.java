// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.nesting;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.iotlb.CachedTranslations;
import org.ioasis.iommufd.DeviceCaches;

/** Caches that write down what they were told, or count it only. One thread. */
public final class Recorder implements CachedTranslations, DeviceCaches {
    /** Little-endian words at any offset. */
    public static final ValueLayout.OfLong WORD =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    public final List<String> said = new ArrayList<>();
    public boolean isQuiet;
    public long count;

    private void say(String what, long... numbers) {
        StringBuilder line = new StringBuilder(what);
        for (long number : numbers) {
            line.append(' ').append(Long.toHexString(number));
        }
        said.add(line.toString());
    }

    @Override
    public void begin() {
        // Told one by one.
    }

    @Override
    public void end() {
        // As well.
    }

    @Override
    public long all() {
        if (++count > 0 && !isQuiet) {
            say("all");
        }
        return 0;
    }

    @Override
    public long domain(int domain) {
        if (++count > 0 && !isQuiet) {
            say("domain", domain);
        }
        return 0;
    }

    @Override
    public long firstStage(int domain) {
        if (++count > 0 && !isQuiet) {
            say("firstStage", domain);
        }
        return 0;
    }

    @Override
    public long space(int domain, int space) {
        if (++count > 0 && !isQuiet) {
            say("space", domain, space);
        }
        return 0;
    }

    @Override
    public long range(int domain, int space, long first, long last, int leafLg2) {
        if (++count > 0 && !isQuiet) {
            say("range", domain, space, first, last, leafLg2);
        }
        return 0;
    }

    @Override
    public long everySpace(int domain, long first, long last, int leafLg2) {
        if (++count > 0 && !isQuiet) {
            say("everySpace", domain, first, last, leafLg2);
        }
        return 0;
    }

    @Override
    public void context(int device, int space) {
        if (++count > 0 && !isQuiet) {
            say("context", device, space);
        }
    }

    @Override
    public void contexts(int device) {
        if (++count > 0 && !isQuiet) {
            say("contexts", device);
        }
    }

    @Override
    public void forget(int device, int space, long first, long last) {
        if (++count > 0 && !isQuiet) {
            say("forget", device, space, first, last);
        }
    }

    @Override
    public void forget(int device, long first, long last) {
        if (++count > 0 && !isQuiet) {
            say("forgetAll", device, first, last);
        }
    }

    /** Words one after the other, as a guest's queue has them. */
    public static MemorySegment words(long... words) {
        MemorySegment bytes = Arena.ofAuto().allocate((long) words.length * Long.BYTES, 8);
        for (int i = 0; i < words.length; i++) {
            bytes.set(WORD, (long) i * Long.BYTES, words[i]);
        }
        return bytes;
    }
}
