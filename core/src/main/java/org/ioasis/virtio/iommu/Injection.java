// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

/**
 * A planted failure, for people who write drivers and want to see how theirs takes it. Nothing of
 * it breaks isolation: what is answered as failed has not happened, and what is answered late has
 * been done before. Immutable.
 */
public sealed interface Injection {
    /** Most that a number of an injection can be: enough for any test, and no overflow. */
    long LIMIT = 1_000_000_000L;

    /** The {@code nth} MAP from now on, 1 for the next, is answered NOMEM and maps nothing. */
    record MapNoMemory(long nth) implements Injection {
        public MapNoMemory {
            check("map_nomem", nth, 1, LIMIT);
        }
    }

    /** Each UNMAP is answered that much later than it is done; 0 ends it. */
    record UnmapDelay(long millis) implements Injection {
        public UnmapDelay {
            check("unmap_delay_ms", millis, 0, 60_000);
        }
    }

    /** The next {@code count} events are lost on the way to the driver. */
    record EventsDropped(long count) implements Injection {
        public EventsDropped {
            check("drop_events", count, 0, LIMIT);
        }
    }

    /** The next {@code count} events come twice. */
    record EventsDoubled(long count) implements Injection {
        public EventsDoubled {
            check("double_events", count, 0, LIMIT);
        }
    }

    /**
     * The answer to the next PROBE ends after {@code bytes} bytes: the rest of the properties and
     * the tail are not written, and the used length says so.
     */
    record ProbeTruncated(int bytes) implements Injection {
        public ProbeTruncated {
            check("truncate_probe", bytes, 0, 512);
        }
    }

    /** Takes back everything that is planted and has not happened. */
    record None() implements Injection {}

    private static void check(String what, long value, long min, long max) {
        if (value < min || value > max) {
            throw new IllegalArgumentException(
                    "%s must be %d to %d, not %d".formatted(what, min, max, value));
        }
    }

    /**
     * Reads the form that commands and files have, such as {@code map_nomem} and 3.
     *
     * @throws IllegalArgumentException the name is not known or the value not possible; says why
     */
    static Injection of(String name, long value) {
        return switch (name) {
            case "map_nomem" -> new MapNoMemory(value);
            case "unmap_delay_ms" -> new UnmapDelay(value);
            case "drop_events" -> new EventsDropped(value);
            case "double_events" -> new EventsDoubled(value);
            case "truncate_probe" -> {
                check("truncate_probe", value, 0, 512);
                yield new ProbeTruncated((int) value);
            }
            default ->
                    throw new IllegalArgumentException(
                            name + " is not one of none, " + String.join(", ", NAMES));
        };
    }

    /** The form that {@link #of} reads. */
    default String text() {
        return switch (this) {
            case MapNoMemory(long nth) -> "map_nomem " + nth;
            case UnmapDelay(long millis) -> "unmap_delay_ms " + millis;
            case EventsDropped(long count) -> "drop_events " + count;
            case EventsDoubled(long count) -> "double_events " + count;
            case ProbeTruncated(int bytes) -> "truncate_probe " + bytes;
            case None() -> "none";
        };
    }

    /** What {@link #of} knows. */
    java.util.List<String> NAMES =
            java.util.List.of(
                    "map_nomem",
                    "unmap_delay_ms",
                    "drop_events",
                    "double_events",
                    "truncate_probe");
}
