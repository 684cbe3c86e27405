// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

/** Which kernel a guest boots. Immutable; any thread. */
public sealed interface KernelChoice {
    /** A kernel that Debian built for virtual machines, fetched into the cache. */
    enum Debian implements KernelChoice {
        /** Of the stable release. */
        STABLE,
        /** The newest one that was prepared for the stable release. */
        BACKPORTS,
        /** Of the stable release, for any machine: it has drivers that virtual ones rarely need. */
        GENERIC,
        /** Of the stable release, for 64-bit ARM, which a QEMU of its own plays. */
        ARM64
    }

    /** One that somebody built, see {@link Kernel#at}. */
    record Own(Kernel kernel) implements KernelChoice {}
}
