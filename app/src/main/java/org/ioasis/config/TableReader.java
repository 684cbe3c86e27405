// SPDX-License-Identifier: Apache-2.0
package org.ioasis.config;

import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.ioasis.config.Draft.Ids;
import org.ioasis.config.Problem.Place;
import org.ioasis.live.Unsigned;
import org.ioasis.machine.DeviceKeys;
import org.jspecify.annotations.Nullable;
import org.tomlj.TomlArray;
import org.tomlj.TomlPosition;
import org.tomlj.TomlTable;

/**
 * Reads one table of a TOML file: each key that is asked for is a known one, and {@link #finish}
 * reports the others. What is wrong is noted with its place and read as if it were not there. One
 * thread.
 */
final class TableReader implements DeviceKeys {
    private final TomlTable table;
    private final Place place;
    private final Path folder;
    private final List<Problem> problems;
    private final Set<String> known = new TreeSet<>();

    /**
     * @param folder what paths are relative to
     */
    TableReader(TomlTable table, Place place, Path folder, List<Problem> problems) {
        this.table = table;
        this.place = place;
        this.folder = folder;
        this.problems = problems;
    }

    /** What paths are relative to. */
    Path folder() {
        return folder;
    }

    Place place() {
        return place;
    }

    Place place(String key) {
        TomlPosition position = table.inputPositionOf(List.of(key));
        return position == null ? place : new Place(position.line(), position.column());
    }

    @Override
    public void problem(String key, String text) {
        problems.add(new Problem(place(key), key + ": " + text));
    }

    private @Nullable Object value(String key) {
        known.add(key);
        return table.get(List.of(key));
    }

    /** Reports the keys that nobody asked for. */
    @Override
    public void finish() {
        for (String key : table.keySet()) {
            if (!known.contains(key)) {
                problem(key, "not known here; known are " + String.join(", ", known));
            }
        }
    }

    private static String type(Object value) {
        return switch (value) {
            case String _ -> "a string";
            case Long _ -> "an integer";
            case Boolean _ -> "a boolean";
            case Double _ -> "a float";
            case TomlTable _ -> "a table";
            case TomlArray _ -> "an array";
            default -> "a date or time";
        };
    }

    @Override
    public @Nullable String string(String key) {
        Object value = value(key);
        if (value == null || value instanceof String) {
            return (String) value;
        }
        problem(key, "must be a string, not " + type(value));
        return null;
    }

    String string(String key, String otherwise) {
        String value = string(key);
        return value == null ? otherwise : value;
    }

    @Override
    public @Nullable Path path(String key) {
        String value = string(key);
        if (value == null) {
            return null;
        }
        try {
            if (!value.isEmpty()) {
                return folder.resolve(value);
            }
        } catch (InvalidPathException e) {
            problem(key, "no path: " + e.getReason());
            return null;
        }
        problem(key, "must not be empty");
        return null;
    }

    @Override
    public @Nullable Path requiredPath(String key) {
        if (table.get(List.of(key)) == null) {
            known.add(key);
            problems.add(new Problem(place, key + " is missing"));
            return null;
        }
        return path(key);
    }

    /** As {@link #requiredPath}, but the folder in place of null. */
    Path requiredPathOrFolder(String key) {
        Path path = requiredPath(key);
        return path == null ? folder : path;
    }

    @Override
    public boolean bool(String key, boolean otherwise) {
        Object value = value(key);
        if (value == null) {
            return otherwise;
        }
        if (value instanceof Boolean flag) {
            return flag;
        }
        problem(key, "must be true or false, not " + type(value));
        return otherwise;
    }

    /** An integer {@code min..max}, signed. */
    @Override
    public long integer(String key, long min, long max, long otherwise) {
        Object value = value(key);
        if (value == null) {
            return otherwise;
        }
        if (!(value instanceof Long number)) {
            problem(key, "must be an integer, not " + type(value));
        } else if (number < min || number > max) {
            problem(key, "must be %d to %d, not %d".formatted(min, max, number));
        } else {
            return number;
        }
        return otherwise;
    }

    /**
     * A number of {@code bits} (32 or 64), unsigned. TOML's integers end at 2^63-1; what is larger
     * is written as a string.
     */
    long unsigned(String key, int bits, long otherwise) {
        Object value = value(key);
        if (value == null) {
            return otherwise;
        }
        Long number = null;
        if (value instanceof Long given && given >= 0) {
            number = given;
        } else if (value instanceof String text) {
            number = parse(text);
        }
        if (number == null || (bits == 32 && number >>> 32 != 0)) {
            problem(
                    key,
                    "must be a number of %d bits, as 4096, 0x1000 or \"0xffffffff\", not %s"
                            .formatted(
                                    bits,
                                    value instanceof Long || value instanceof String
                                            ? value
                                            : type(value)));
            return otherwise;
        }
        return number;
    }

    private static @Nullable Long parse(String text) {
        try {
            return Unsigned.parse(text.replace("_", ""));
        } catch (NumberFormatException e) {
            return null;
        }
    }

    /** Endpoint ids: an array of numbers, and of strings with a range; none if it is not there. */
    List<Ids> ids(String key) {
        Object value = value(key);
        List<Ids> ids = new ArrayList<>();
        if (value == null) {
            return ids;
        }
        if (!(value instanceof TomlArray array)) {
            problem(key, "must be an array, not " + type(value));
            return ids;
        }
        for (int i = 0; i < array.size(); i++) {
            Ids parsed = Ids.parse(String.valueOf(array.get(i)));
            if (parsed == null) {
                problem(
                        key,
                        "must hold numbers of 32 bits and ranges, as 0x10 or \"0x10-0x1f\", not "
                                + array.get(i));
            } else {
                ids.add(parsed);
            }
        }
        return ids;
    }

    /** The table of that name, or null. */
    @Override
    public @Nullable TableReader table(String key) {
        Object value = value(key);
        if (value == null) {
            return null;
        }
        if (value instanceof TomlTable inner) {
            return new TableReader(inner, place(key), folder, problems);
        }
        problem(key, "must be a table, not " + type(value));
        return null;
    }

    /** True if the key is there, whatever it is. */
    boolean has(String key) {
        return value(key) != null;
    }

    /** The tables of an array of that name, or the only one; none if there is no such key. */
    List<TableReader> tables(String key) {
        Object value = value(key);
        List<TableReader> tables = new ArrayList<>();
        if (value == null) {
            return tables;
        }
        if (value instanceof TomlTable only) {
            tables.add(new TableReader(only, place(key), folder, problems));
            return tables;
        }
        if (!(value instanceof TomlArray array)) {
            problem(key, "must be an array of tables ([[...]]), not " + type(value));
            return tables;
        }
        for (int i = 0; i < array.size(); i++) {
            TomlPosition at = array.inputPositionOf(i);
            if (array.get(i) instanceof TomlTable inner) {
                tables.add(
                        new TableReader(
                                inner, new Place(at.line(), at.column()), folder, problems));
            } else {
                problem(key, "must hold tables only");
            }
        }
        return tables;
    }
}
