// SPDX-License-Identifier: Apache-2.0
package org.ioasis.metrics;

import io.prometheus.metrics.model.snapshots.CounterSnapshot;
import io.prometheus.metrics.model.snapshots.CounterSnapshot.CounterDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.GaugeSnapshot;
import io.prometheus.metrics.model.snapshots.GaugeSnapshot.GaugeDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.Labels;
import io.prometheus.metrics.model.snapshots.MetricSnapshot;
import java.util.ArrayList;
import java.util.List;

/** One metric and its series, while they are collected. One thread. */
final class Family {
    private final boolean isCounter;
    private final String name;
    private final String help;
    private final String[] labels;
    private final List<Labels> series = new ArrayList<>();
    private final List<Double> values = new ArrayList<>();

    /**
     * @param isCounter it only grows, and its name gets the suffix {@code _total}; else a gauge
     * @param labels names
     */
    Family(boolean isCounter, String name, String help, String... labels) {
        this.isCounter = isCounter;
        this.name = name;
        this.help = help;
        this.labels = labels.clone();
    }

    /** A count as the format has it, which is exact up to 2^53. */
    void put(long value, String... labelValues) {
        put((double) value, labelValues);
    }

    /** One more series. */
    void put(double value, String... labelValues) {
        series.add(Labels.of(labels, labelValues));
        values.add(value);
    }

    void put(boolean value, String... labelValues) {
        put(value ? 1 : 0, labelValues);
    }

    boolean isEmpty() {
        return series.isEmpty();
    }

    MetricSnapshot snapshot() {
        return isCounter ? counter() : gauge();
    }

    private MetricSnapshot counter() {
        CounterSnapshot.Builder all = CounterSnapshot.builder().name(name).help(help);
        for (int i = 0; i < series.size(); i++) {
            all.dataPoint(
                    CounterDataPointSnapshot.builder()
                            .labels(series.get(i))
                            .value(values.get(i))
                            .build());
        }
        return all.build();
    }

    private MetricSnapshot gauge() {
        GaugeSnapshot.Builder all = GaugeSnapshot.builder().name(name).help(help);
        for (int i = 0; i < series.size(); i++) {
            all.dataPoint(
                    GaugeDataPointSnapshot.builder()
                            .labels(series.get(i))
                            .value(values.get(i))
                            .build());
        }
        return all.build();
    }
}
