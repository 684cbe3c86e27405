// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

/** Which kernel a guest boots. Immutable; any thread. */
public sealed interface KernelChoice {
    /** A kernel that Debian built for virtual machines, fetched into the cache. */
    enum Debian implements KernelChoice {
        /** Of the stable release. */
        STABLE,
        /** The newest one that was prepared for the stable release. */
        BACKPORTS
    }

    /** One that somebody built, see {@link Kernel#at}. */
    record Own(Kernel kernel) implements KernelChoice {}
}
