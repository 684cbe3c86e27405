// SPDX-License-Identifier: Apache-2.0
package org.ioasis.config;

import java.util.Comparator;
import java.util.List;
import java.util.stream.Collectors;

/** A configuration that is not served, with everything that is wrong with it. Any thread. */
public final class ConfigException extends Exception {
    private static final long serialVersionUID = 1L;

    private final transient List<Problem> problems;

    /**
     * @param file how messages name the file
     */
    ConfigException(String file, List<Problem> problems) {
        super(sorted(problems).stream().map(p -> p.text(file)).collect(Collectors.joining("\n")));
        this.problems = sorted(problems);
    }

    private static List<Problem> sorted(List<Problem> problems) {
        return problems.stream().sorted(Comparator.comparing(Problem::place)).toList();
    }

    /** At least one, in the order of the file. */
    public List<Problem> problems() {
        return problems;
    }
}
