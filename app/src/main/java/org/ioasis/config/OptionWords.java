// SPDX-License-Identifier: Apache-2.0
package org.ioasis.config;

import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.live.Unsigned;
import org.ioasis.machine.DeviceKeys;
import org.jspecify.annotations.Nullable;

/**
 * The parts of one option: its first, whose key is empty, then {@code KEY=VALUE} or {@code KEY}.
 * What is asked for is known; {@link #finish} reports the others.
 */
final class OptionWords implements DeviceKeys {
    private final String option;
    private final String first;
    private final List<Problem> problems;
    private final Map<String, String> values = new LinkedHashMap<>();
    private final List<String> known = new ArrayList<>();

    /**
     * @param option as the user has written it, for what is wrong with it
     * @param text its value
     * @param first what its first part is
     * @param problems gets what is wrong
     */
    OptionWords(String option, String text, String first, List<Problem> problems) {
        this.option = option;
        this.first = first;
        this.problems = problems;
        // Protected first, so that a doubled comma never looks like a border.
        for (String part : text.replace(",,", "\0").split(",", -1)) {
            String word = part.replace('\0', ',');
            int equals = word.indexOf('=');
            if (values.isEmpty()) {
                values.put("", word);
            } else if (values.put(equals < 0 ? word : word.substring(0, equals), word) != null) {
                problem("\"" + word + "\" comes after another one");
            }
        }
    }

    void problem(String text) {
        problems.add(new Problem(Problem.Place.COMMAND_LINE, option + ": " + text));
    }

    @Override
    public void problem(String key, String text) {
        problem(key + " " + text);
    }

    @Override
    public @Nullable String string(String key) {
        String word = values.get(key);
        if (!key.isEmpty()) {
            known.add(key + "=");
        }
        if (word == null || (!key.isEmpty() && !word.startsWith(key + "="))) {
            return null;
        }
        String value = key.isEmpty() ? word : word.substring(key.length() + 1);
        values.remove(key);
        if (value.isEmpty()) {
            problem(key.isEmpty() ? "no " + first : key + " is empty");
            return null;
        }
        return value;
    }

    @Override
    public boolean bool(String key, boolean otherwise) {
        String word = otherwise ? "no" + key : key;
        known.add(word);
        return values.remove(word, word) != otherwise;
    }

    @Override
    public @Nullable Path requiredPath(String key) {
        if (!values.containsKey(key)) {
            known.add(key + "=");
            problem("needs " + key + "=");
            return null;
        }
        return path(key);
    }

    @Override
    public @Nullable DeviceKeys table(String key) {
        return null;
    }

    @Override
    public @Nullable Path path(String key) {
        String value = string(key);
        try {
            return value == null ? null : Path.of(value);
        } catch (InvalidPathException e) {
            problem("no path: " + value);
            return null;
        }
    }

    @Override
    public long integer(String key, long min, long max, long otherwise) {
        String value = string(key);
        if (value == null) {
            return otherwise;
        }
        try {
            long number = Unsigned.parse(value, max);
            if (number >= min) {
                return number;
            }
        } catch (NumberFormatException _) {
            // Told below.
        }
        problem(key, "must be a number of %d to %d, not \"%s\"".formatted(min, max, value));
        return otherwise;
    }

    @Override
    public void finish() {
        values.forEach((key, word) -> {
            if (!key.isEmpty()) {
                problem(
                        "\"%s\" is not known; known are %s"
                                .formatted(word, String.join(", ", known)));
            }
        });
    }
}
