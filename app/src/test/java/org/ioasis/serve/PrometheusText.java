// SPDX-License-Identifier: Apache-2.0
package org.ioasis.serve;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The text format of Prometheus (version 0.0.4), read strictly, as the client library has no reader
 * of it: what a scraper may forgive is an error here. Immutable.
 *
 * @param types of each metric, by its name
 * @param samples in the order of the text
 */
record PrometheusText(Map<String, String> types, List<Sample> samples) {
    private static final Pattern HELP = Pattern.compile("# HELP ([a-z][a-z0-9_]*) (\\S.*)");
    private static final Pattern TYPE = Pattern.compile("# TYPE ([a-z][a-z0-9_]*) (counter|gauge)");
    private static final Pattern SAMPLE =
            Pattern.compile("([a-z][a-z0-9_]*)(?:\\{(.*)})? ([0-9.E+-]+)");
    private static final Pattern LABEL =
            Pattern.compile("([a-z][a-z0-9_]*)=\"((?:[^\"\\\\]|\\\\[\"\\\\n])*)\"(,|$)");

    PrometheusText {
        types = Map.copyOf(types);
        samples = List.copyOf(samples);
    }

    /** A series with its value. */
    record Sample(String name, Map<String, String> labels, double value) {
        Sample {
            labels = Map.copyOf(labels);
        }
    }

    static PrometheusText parse(String text) {
        if (!text.endsWith("\n")) {
            throw new AssertionError("the last line has no end");
        }
        Map<String, String> types = new HashMap<>();
        List<Sample> samples = new ArrayList<>();
        Set<String> series = new HashSet<>();
        String helped = "";
        String current = "";
        for (String line : text.lines().toList()) {
            Matcher help = HELP.matcher(line);
            Matcher type = TYPE.matcher(line);
            Matcher sample = SAMPLE.matcher(line);
            if (help.matches()) {
                helped = help.group(1);
            } else if (type.matches()) {
                current = type.group(1);
                check(current.equals(helped), line, "has no HELP right before");
                check(types.put(current, type.group(2)) == null, line, "comes twice");
                check(
                        current.endsWith("_total") == type.group(2).equals("counter"),
                        line,
                        "is not named for what it is");
            } else if (sample.matches()) {
                String name = sample.group(1);
                check(name.equals(current), line, "is not below its TYPE");
                Map<String, String> labels = labels(sample.group(2), line);
                check(series.add(name + new TreeMap<>(labels)), line, "comes twice");
                samples.add(new Sample(name, labels, Double.parseDouble(sample.group(3))));
            } else {
                throw new AssertionError(line + ": what is this?");
            }
        }
        return new PrometheusText(types, samples);
    }

    private static void check(boolean holds, String line, String otherwise) {
        if (!holds) {
            throw new AssertionError(line + ": " + otherwise);
        }
    }

    private static Map<String, String> labels(String text, String line) {
        Map<String, String> labels = new HashMap<>();
        if (text != null) {
            Matcher label = LABEL.matcher(text);
            int at = 0;
            while (at < text.length()) {
                check(label.find(at) && label.start() == at, line, "has labels that are none");
                check(labels.put(label.group(1), label.group(2)) == null, line, "has one twice");
                at = label.end();
            }
        }
        return labels;
    }

    /** The value of the series with these labels, names and values in turn. */
    double value(String name, String... labels) {
        Map<String, String> wanted = new HashMap<>();
        for (int i = 0; i < labels.length; i += 2) {
            wanted.put(labels[i], labels[i + 1]);
        }
        return samples.stream()
                .filter(one -> one.name().equals(name) && one.labels().equals(wanted))
                .mapToDouble(Sample::value)
                .findAny()
                .orElseThrow(() -> new AssertionError("no " + name + " " + wanted));
    }

    /** Names of labels of a metric. */
    Set<String> labelsOf(String name) {
        Set<String> names = new HashSet<>();
        samples.stream()
                .filter(one -> one.name().equals(name))
                .forEach(one -> names.addAll(one.labels().keySet()));
        return names;
    }
}
