// SPDX-License-Identifier: Apache-2.0
package org.ioasis.output;

import java.util.regex.Pattern;

/**
 * The kinds of files that Ioasis writes where the user says, each with what its content has that
 * nobody else's would. Immutable.
 */
public enum OutputKind {
    /** What passes between drivers and IOMMUs. */
    TRACE("a trace of Ioasis as text", "\\d{4}-\\d\\d-\\d\\dT\\S+ trace begun"),
    /** The same, an object in each line. */
    JSON_TRACE(
            "a trace of Ioasis as JSON",
            "\\{\"time\":\"[^\"]*\",\"iommu\":\"trace\",\"kind\":\"begun\""),
    /** What drivers and devices do, for a replay. */
    RECORDING("a recording of Ioasis", "PAR1ioasis recording\n"),
    /** Of a run of {@code ioasis vm}. */
    RUN_REPORT("a report of `ioasis vm`", "\\{\\s*\"report\"\\s*:\\s*\"ioasis vm\""),
    /** Calls of a program, by {@code ioasis host}. */
    CALLS("a trace of `ioasis host`", "ioasis host: thread, call, answer\n"),
    /** Of a run of {@code ioasis selftests}. */
    SELFTESTS("a report of `ioasis selftests`", "\\{\\s*\"report\"\\s*:\\s*\"ioasis selftests\""),
    /** The same as a document. */
    SELFTESTS_DOCUMENT(
            "a document of `ioasis selftests`",
            "# The kernel's selftests of (iommufd|VFIO), unmodified\n"),
    /** Of {@code ioasis compare}. */
    COMPARISON("a report of `ioasis compare`", "\\{\\s*\"report\"\\s*:\\s*\"ioasis compare\""),
    /** By {@code ioasis compare tables}. */
    TABLES("a recording of `ioasis compare tables`", "ioasis compare tables: a recording\n"),
    /** Of {@code ioasis bench}. */
    BENCH("a report of `ioasis bench`", "\\{\\s*\"report\"\\s*:\\s*\"ioasis bench\""),
    /** Of {@code ioasis bench guest}. */
    GUEST_BENCH(
            "a report of `ioasis bench guest`", "\\{\\s*\"report\"\\s*:\\s*\"ioasis bench guest\""),
    /** What {@code ioasis bench} draws. */
    PLOT("a plot of `ioasis bench`", "<svg [^>]*>\\s*<title>ioasis bench[: ]"),
    /** Of {@code ioasis sweep}. */
    SWEEP("a report of `ioasis sweep`", "\\{\\s*\"report\"\\s*:\\s*\"ioasis sweep\""),
    /** The same as Parquet; {@code FiguresFile} puts the words there. */
    SWEEP_FIGURES("the figures of a report of `ioasis sweep`", "PAR1ioasis sweep\n"),
    /** The same as a page. */
    SWEEP_PAGE(
            "the page of a report of `ioasis sweep`",
            "<!DOCTYPE html>.*<title>ioasis sweep</title>"),
    /** By {@code ioasis viot}: signature, head, and the two names of who made it. */
    VIOT("a table of `ioasis viot`", "VIOT.{6}IOASISIOASVIOT"),
    /** The same by a server, which removes it at its end. */
    SERVED_VIOT("the table of a server that was killed", "VIOT.{6}IOASISIOASERVE"),
    /** By {@code ioasis devicetree}; its root node says so. */
    OVERLAY("an overlay of `ioasis devicetree`", "\u00d0\r\u00fe\u00ed.*ioasis devicetree\0");

    private final String description;
    private final Pattern beginning;

    OutputKind(String description, String beginning) {
        this.description = description;
        this.beginning = Pattern.compile(beginning, Pattern.DOTALL);
    }

    /** With its article. */
    String description() {
        return description;
    }

    /**
     * Whether a file is of this kind.
     *
     * @param beginning its first bytes as ISO 8859-1
     */
    boolean matches(String beginning) {
        return this.beginning.matcher(beginning).lookingAt();
    }
}
