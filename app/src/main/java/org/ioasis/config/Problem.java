// SPDX-License-Identifier: Apache-2.0
package org.ioasis.config;

/**
 * One thing that is wrong with a configuration. Immutable.
 *
 * @param place where it stands
 * @param text what is wrong, and what would be right
 */
public record Problem(Place place, String text) {
    /**
     * A place in a file, both counting from 1; both 0 for the command line.
     *
     * @param line of the file
     * @param column in the line
     */
    public record Place(int line, int column) implements Comparable<Place> {
        public static final Place COMMAND_LINE = new Place(0, 0);

        @Override
        public int compareTo(Place other) {
            int byLine = Integer.compare(line, other.line);
            return byLine != 0 ? byLine : Integer.compare(column, other.column);
        }
    }

    /** One line for people; {@code file} is not shown for the command line. */
    public String text(String file) {
        return place.line == 0
                ? text
                : "%s:%d:%d: %s".formatted(file, place.line, place.column, text);
    }
}
