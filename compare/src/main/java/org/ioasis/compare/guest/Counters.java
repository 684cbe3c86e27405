// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.guest;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.util.Map;
import java.util.TreeMap;

/**
 * Every number of a server's dump, summed over lists, by its path with dots. Immutable.
 *
 * @param values for example {@code machines.iommus.requests.MAP.OK}
 */
record Counters(Map<String, Long> values) {
    static final String REQUESTS = "machines.iommus.requests.";
    static final String KICKS = "device.kicks";
    static final String INTERRUPTS = "device.interrupts";
    static final String RECEIVES = "session.receives";
    static final String SENDS = "session.sends";
    static final String WAITS = "loopCounts.waits";
    static final String SLEEPS = "loopCounts.sleeps";
    static final String SIGNALS = "loopCounts.signals";

    static Counters of(String json) throws IOException {
        Map<String, Long> values = new TreeMap<>();
        try (JsonParser parser = new JsonFactory().createParser(json)) {
            while (parser.nextToken() != null) {
                if (parser.currentToken() == JsonToken.VALUE_NUMBER_INT) {
                    String path =
                            parser.getParsingContext()
                                    .pathAsPointer()
                                    .toString()
                                    .substring(1)
                                    .replaceAll("/\\d+(?=/|$)", "")
                                    .replace('/', '.');
                    values.merge(path, parser.getLongValue(), Long::sum);
                }
            }
        }
        return new Counters(values);
    }

    /** Sum of what begins or ends so. */
    private long sum(String part) {
        return values.entrySet().stream()
                .filter(one -> one.getKey().startsWith(part) || one.getKey().endsWith("." + part))
                .mapToLong(Map.Entry::getValue)
                .sum();
    }

    long since(Counters earlier, String part) {
        return sum(part) - earlier.sum(part);
    }

    /**
     * Calls of the system that the loop has made: it waits, reads, answers, interrupts, and takes a
     * signal. The I/O threads' are not among them.
     */
    long systemCallsSince(Counters earlier) {
        return since(earlier, WAITS)
                + since(earlier, RECEIVES)
                + since(earlier, SENDS)
                + since(earlier, INTERRUPTS)
                + since(earlier, SIGNALS);
    }
}
