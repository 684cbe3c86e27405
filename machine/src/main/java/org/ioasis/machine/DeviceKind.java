// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A kind of device that can be behind an IOMMU: what is to know of it before there is one. The
 * kinds that there are stand in a list; whoever reads configurations, announces or shows devices
 * knows the list and no kind. Immutable; any thread.
 */
public interface DeviceKind {
    /** Its tables in a configuration, and its option on the command line with two dashes before. */
    String key();

    /** Whether a program may be given one: its registers are in this process. */
    default boolean isForPrograms() {
        return true;
    }

    /** What its devices are called, with a number behind, unless they are given a name. */
    String usualName();

    /** What stands behind its option on the command line, for its help. */
    String optionLabel();

    /** What its option means, a paragraph each. */
    List<String> optionHelp();

    /**
     * Reads what is its own.
     *
     * @return null if something is missing without which there is no such device; that is noted
     */
    @Nullable Described read(DeviceKeys keys);

    /** One device as it was described, before it has its place. Immutable. */
    interface Described {
        /** Tells of everything that cannot work on this host as it is now. */
        void check(Consumer<String> problem);

        /** How it is built there. */
        DeviceOptions<?> at(DevicePlace place);
    }
}
