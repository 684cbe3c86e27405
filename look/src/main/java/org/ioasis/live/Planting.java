// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.virtio.iommu.Injection;

/** Plants failures in running machines, for who asks in words. Any thread; no state. */
public final class Planting {
    private Planting() {}

    /**
     * What came of it.
     *
     * @param status 0 planted, 1 the machine does not answer, 2 not understood
     * @param text for people, a line
     */
    public record Outcome(int status, String text) {}

    /**
     * Plants a failure, or takes back all.
     *
     * @param where {@code machine/iommu}, or - for the only one
     * @param name as {@link Injection#of} knows it, or none
     */
    public static Outcome plant(List<Machine> machines, String where, String name, String value) {
        Map<String, Predicate<Injection>> iommus = new LinkedHashMap<>();
        for (Machine machine : machines) {
            for (IommuUnit iommu : machine.iommus()) {
                iommus.put(
                        machine.name() + "/" + iommu.name(),
                        planted -> machine.onLoop(() -> iommu.inject(planted)));
            }
        }
        Injection injection;
        Predicate<Injection> plant;
        try {
            injection =
                    name.equals("none")
                            ? new Injection.None()
                            : Injection.of(name, Unsigned.parse(value, Long.MAX_VALUE));
            plant = chosen("IOMMU", where, iommus);
        } catch (IllegalArgumentException e) {
            return new Outcome(2, e.getMessage() + "\n");
        }
        return plant.test(injection)
                ? new Outcome(
                        0,
                        injection instanceof Injection.None
                                ? "nothing is planted any more\n"
                                : "planted: " + injection.text() + "\n")
                : new Outcome(1, "the machine's loop does not answer\n");
    }

    /**
     * What {@code name} says, or the only one for {@code -}.
     *
     * @throws IllegalArgumentException there is none of that name, or more than one
     */
    static <T> T chosen(String kind, String name, Map<String, T> candidates) {
        T chosen =
                name.equals("-") && candidates.size() == 1
                        ? candidates.values().iterator().next()
                        : candidates.get(name);
        if (chosen == null) {
            throw new IllegalArgumentException(
                    "which %s: %s".formatted(kind, String.join(", ", candidates.keySet())));
        }
        return chosen;
    }
}
