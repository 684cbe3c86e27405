// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.ReservedWindows;

/**
 * How an IOMMU of a recording is built, as words of the recording: what has to be known to answer
 * the same requests the same way. Immutable.
 *
 * @param name machine and IOMMU
 * @param endpoints by their ids, those that were there when the recording began
 */
public record Setup(String name, IommuOptions options, Map<Integer, EndpointProperties> endpoints) {
    /** Most endpoints that are read. */
    private static final int ENDPOINTS_MAX = 4096;

    private static final String PREFIX = "ioasis.iommu.";
    private static final String ENDPOINT = ".endpoint.";
    private static final Pattern WORD = Pattern.compile("([a-z-]+)=(\\S*)");

    public Setup {
        endpoints = Map.copyOf(endpoints);
    }

    /** That of an engine, before its machine starts. */
    static Setup of(String name, Iommu engine) {
        Map<Integer, EndpointProperties> endpoints = new LinkedHashMap<>();
        engine.forEachEndpoint(one -> endpoints.put(one.id(), one.properties()));
        return new Setup(name, engine.options(), endpoints);
    }

    /** Adds the words, of the {@code index}-th IOMMU of a recording. */
    void write(int index, Map<String, String> about) {
        IommuOptions o = options;
        about.put(
                PREFIX + index,
                ("name=%s pages=0x%x input=0x%x-0x%x domains=0x%x-0x%x bypass=%b detach-by-endpoint=%b"
                                + " identity-beside-none=%b endpoint-limit=%d domain-limit=%d mapping-limit=%d"
                                + " table-limit=%d endpoint-mapping-limit=%d endpoint-table-limit=%d")
                        .formatted(
                                name,
                                o.pageSizeMask(),
                                o.inputFirst(),
                                o.inputLast(),
                                o.domainFirst(),
                                o.domainLast(),
                                o.bypassAtStart(),
                                o.detachByEndpoint(),
                                o.identityBesideNone(),
                                o.endpointLimit(),
                                o.domainLimit(),
                                o.mappingLimit(),
                                o.tableLimit(),
                                o.endpointMappingLimit(),
                                o.endpointTableLimit()));
        new TreeMap<>(endpoints)
                .forEach((id, its) -> about.put(PREFIX + index + ENDPOINT + id, words(its)));
    }

    private static String words(EndpointProperties its) {
        StringBuilder words =
                new StringBuilder(
                        "pages=0x%x input=0x%x-0x%x"
                                .formatted(its.pageSizeMask(), its.inputFirst(), its.inputLast()));
        for (ReservedRegion region : its.reserved().regions()) {
            words.append(
                    " reserved=%s,0x%x-0x%x"
                            .formatted(region.kind(), region.first(), region.last()));
        }
        return words.toString();
    }

    /**
     * Those of a recording, in their order.
     *
     * @throws IllegalArgumentException they say nothing that could be built
     */
    static List<Setup> read(Map<String, String> about) {
        List<Setup> all = new ArrayList<>();
        for (String words = about.get(PREFIX + 0);
                words != null;
                words = about.get(PREFIX + all.size())) {
            all.add(read(words, endpoints(PREFIX + all.size() + ENDPOINT, about)));
        }
        return all;
    }

    private static Map<Integer, EndpointProperties> endpoints(
            String prefix, Map<String, String> about) {
        Map<Integer, EndpointProperties> endpoints = new LinkedHashMap<>();
        about.forEach((key, words) -> {
            if (key.startsWith(prefix)) {
                if (endpoints.size() == ENDPOINTS_MAX) {
                    throw new IllegalArgumentException(
                            "more than %d endpoints".formatted(ENDPOINTS_MAX));
                }
                endpoints.put(Integer.parseInt(key.substring(prefix.length())), endpoint(words));
            }
        });
        return endpoints;
    }

    private static EndpointProperties endpoint(String words) {
        List<ReservedRegion> regions = new ArrayList<>();
        Matcher word = WORD.matcher(words);
        while (word.find()) {
            if (word.group(1).equals("reserved")) {
                String[] parts = word.group(2).split(",", 2);
                if (parts.length != 2) {
                    throw new IllegalArgumentException("no region: " + word.group(2));
                }
                long[] range = range(parts[1]);
                regions.add(
                        new ReservedRegion(
                                range[0], range[1], ReservedRegion.Kind.valueOf(parts[0])));
            }
        }
        Map<String, String> values = values(words);
        long[] input = range(value(values, "input"));
        return new EndpointProperties(
                number(value(values, "pages")), input[0], input[1], ReservedWindows.of(regions));
    }

    private static Setup read(String words, Map<Integer, EndpointProperties> endpoints) {
        Map<String, String> values = values(words);
        long[] input = range(value(values, "input"));
        long[] domains = range(value(values, "domains"));
        IommuOptions options =
                IommuOptions.builder()
                        .pageSizeMask(number(value(values, "pages")))
                        .inputRange(input[0], input[1])
                        .domainRange((int) domains[0], (int) domains[1])
                        .bypassAtStart(Boolean.parseBoolean(value(values, "bypass")))
                        .detachByEndpoint(Boolean.parseBoolean(value(values, "detach-by-endpoint")))
                        .identityBesideNone(
                                Boolean.parseBoolean(value(values, "identity-beside-none")))
                        .endpointLimit((int) decimal(values, "endpoint-limit"))
                        .domainLimit((int) decimal(values, "domain-limit"))
                        .mappingLimit(decimal(values, "mapping-limit"))
                        .tableLimit(decimal(values, "table-limit"))
                        .endpointMappingLimit(decimal(values, "endpoint-mapping-limit"))
                        .endpointTableLimit(decimal(values, "endpoint-table-limit"))
                        .build();
        return new Setup(value(values, "name"), options, endpoints);
    }

    private static Map<String, String> values(String words) {
        Map<String, String> values = new LinkedHashMap<>();
        Matcher word = WORD.matcher(words);
        while (word.find()) {
            values.put(word.group(1), word.group(2));
        }
        return values;
    }

    private static String value(Map<String, String> values, String name) {
        String value = values.get(name);
        if (value == null) {
            throw new IllegalArgumentException("nothing says " + name);
        }
        return value;
    }

    private static long decimal(Map<String, String> values, String name) {
        return Long.parseLong(value(values, name));
    }

    /** NumberFormatException is an IllegalArgumentException. */
    private static long number(String hex) {
        return Long.parseUnsignedLong(hex.startsWith("0x") ? hex.substring(2) : hex, 16);
    }

    private static long[] range(String text) {
        String[] ends = text.split("-", 2);
        if (ends.length != 2) {
            throw new IllegalArgumentException("no range: " + text);
        }
        return new long[] {number(ends[0]), number(ends[1])};
    }
}
