// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep.job;

import java.io.Serializable;
import java.lang.ref.SoftReference;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.ioasis.sweep.Answer;
import org.ioasis.sweep.Design;
import org.ioasis.sweep.Figures;
import org.ioasis.sweep.Simulation;
import org.ioasis.sweep.Trace;
import org.ioasis.sweep.TraceException;
import org.ioasis.sweep.TraceFile;
import org.jspecify.annotations.Nullable;

/**
 * One trace with one design: a task of the job. Immutable.
 *
 * @param name of the trace in the report
 * @param place where every worker finds it
 */
record Cell(String name, String place, Design design) implements Serializable {
    /** A worker goes from trace to trace, with a thread for each of its processors. */
    private static final int KEPT = 2;

    private static final Map<String, SoftReference<Trace>> TRACES = new LinkedHashMap<>();

    /**
     * What came of it: a trace that is not one must not be tried again, nor end the worker.
     *
     * @param answer null if there is a refusal
     */
    record Result(@Nullable Answer answer, @Nullable String refusal) implements Serializable {}

    Result run() {
        Trace trace;
        try {
            trace = trace(place);
        } catch (TraceException e) {
            return new Result(null, e.getMessage());
        }
        try {
            Figures figures = Simulation.run(trace, design);
            Answer answer =
                    new Answer(
                            name, trace.notes(), trace.nanos(), trace.accesses(), design, figures);
            return new Result(answer, null);
        } catch (TraceException e) {
            return new Result(null, "%s: %s: %s".formatted(place, design, e.getMessage()));
        }
    }

    /** Reads one trace at a time, and keeps the last ones while there is memory. */
    private static Trace trace(String place) throws TraceException {
        synchronized (TRACES) {
            SoftReference<Trace> kept = TRACES.remove(place);
            Trace trace = kept == null ? null : kept.get();
            if (trace == null) {
                trace = TraceFile.read(Path.of(place));
            }
            TRACES.put(place, new SoftReference<>(trace));
            if (TRACES.size() > KEPT) {
                TRACES.remove(TRACES.keySet().iterator().next());
            }
            return trace;
        }
    }
}
